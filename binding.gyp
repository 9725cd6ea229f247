{
  # What a user's install compiles. libfabric is opened at run time, so nothing of it is linked; only its headers are
  # needed. native/CMakeLists.txt is the developers' build of the same sources.
  "targets": [
    {
      "target_name": "libfabric",
      # gyp drops a leading "lib" from a target's name, not from a product's.
      "product_name": "libfabric",
      "sources": ["<!@(node scripts/native-sources.mjs native .)"],
      "include_dirs": [
        "<!(node -p \"require('node-addon-api').include_dir\")",
        # AWS's own libfabric is newer than the distribution's: its headers come first where it is installed.
        "<!@(node -p \"['/opt/amazon/efa/include'].filter((d) => require('fs').existsSync(d + '/rdma/fabric.h')).join(' ')\")"
      ],
      # A worker may be terminated while it is in a call: what that throws then has nowhere to go.
      "defines": ["NAPI_VERSION=8", "NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED",
                  "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      # Node's own flags ask for C++17 without exceptions and run-time type information; ours replace them.
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-fno-rtti"],
      "cflags_cc": ["-std=c++20", "-fexceptions", "-frtti", "-fvisibility-inlines-hidden"],
      "cflags!": ["-O3", "-fno-exceptions"],
      "cflags": ["-O2", "-g", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-fvisibility=hidden"],
      "libraries": ["-ldl", "-lpthread"]
    }
  ],
  "conditions": [
    # The software EFA device, where libibverbs' headers are: nothing else needs them, so they are not required.
    ["<!(node -p \"+['/opt/amazon/efa/include', '/usr/include', '/usr/local/include'].some((d) => require('fs').existsSync(d + '/infiniband/efadv.h'))\")==1", {
      "targets": [
        {
          # What is preloaded into a program. It brings its own C++ library, since it goes into programs of any language.
          "target_name": "softefa",
          "product_name": "libsoftefa",
          # node-gyp calls every module .node, in a condition of this kind.
          "target_conditions": [["_type=='loadable_module'", {"product_extension": "so"}]],
          "sources": ["<!@(node scripts/native-sources.mjs native/softefa '^(channel|verbs_.*)$')"],
          "include_dirs": ["<!@(node -p \"['/opt/amazon/efa/include'].filter((d) => require('fs').existsSync(d + '/infiniband/efadv.h')).join(' ')\")"],
          "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-fno-rtti"],
          "cflags_cc": ["-std=c++20", "-fexceptions", "-frtti", "-fvisibility-inlines-hidden"],
          "cflags!": ["-O3", "-fno-exceptions"],
          "cflags": ["-O2", "-g", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-fvisibility=hidden"],
          "ldflags": ["-static-libstdc++", "-static-libgcc", "-Wl,--version-script=<(module_root_dir)/native/softefa/softefa.map"],
          "libraries": ["-lpthread"]
        },
        {
          # The NIC's process.
          "target_name": "softefa-nic",
          "type": "executable",
          "sources": ["<!@(node scripts/native-sources.mjs native/softefa '^(nic|nic_.*|transport|udp_wire|fault_rules|control|control_socket|counter_files)$')"],
          "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-fno-rtti"],
          "cflags_cc": ["-std=c++20", "-fexceptions", "-frtti"],
          "cflags!": ["-O3", "-fno-exceptions"],
          "cflags": ["-O2", "-g", "-Wall", "-Wextra", "-Wno-missing-field-initializers"],
          "ldflags": ["-static-libstdc++", "-static-libgcc"]
        }
      ]
    }]
  ]
}
