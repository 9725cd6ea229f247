{
  # What a user's install compiles. libfabric is opened at run time, so nothing of it is linked; only its headers are
  # needed. native/CMakeLists.txt is the developers' build of the same sources.
  "targets": [
    {
      "target_name": "libfabric",
      # gyp drops a leading "lib" from a target's name, not from a product's.
      "product_name": "libfabric",
      "sources": ["<!@(node -p \"require('fs').readdirSync('native').filter((n) => n.endsWith('.cc')).sort().map((n) => 'native/' + n).join(' ')\")"],
      "include_dirs": [
        "<!(node -p \"require('node-addon-api').include_dir\")",
        # AWS's own libfabric is newer than the distribution's: its headers come first where it is installed.
        "<!@(node -p \"['/opt/amazon/efa/include'].filter((d) => require('fs').existsSync(d + '/rdma/fabric.h')).join(' ')\")"
      ],
      "defines": ["NAPI_VERSION=8", "NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      # Node's own flags ask for C++17 without exceptions and run-time type information; ours replace them.
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-fno-rtti"],
      "cflags_cc": ["-std=c++20", "-fexceptions", "-frtti", "-fvisibility-inlines-hidden"],
      "cflags!": ["-O3", "-fno-exceptions"],
      "cflags": ["-O2", "-g", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-fvisibility=hidden"],
      "libraries": ["-ldl", "-lpthread"]
    }
  ]
}
