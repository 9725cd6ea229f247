import { defineConfig } from 'rolldown';

// Node reads some hundred small modules in three times the time of these few, in every process that imports the
// package. tsc writes the declarations beside them.
export default defineConfig({
  input: {
    index: 'src/index.ts',
    'fi/index': 'src/fi/index.ts',
    'testing/index': 'src/testing/index.ts',
    'cli/main': 'src/cli/main.ts',
  },
  platform: 'node',
  // Of this package itself, by whose name src/package-root.ts finds it.
  external: ['libfabric/package.json'],
  // Node 20 knows no `using`: lower it, as for the tests.
  transform: { target: 'es2022' },
  output: { dir: 'dist', sourcemap: true, entryFileNames: '[name].js', chunkFileNames: 'shared/[name].js' },
});
