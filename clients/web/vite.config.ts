import { defineConfig } from "vite";

/** Server that calls go to in development; the built console calls the server that it came from. */
const server = process.env.QUARTERDECK_ADDR ?? "http://127.0.0.1:7777";

/** Passes calls on as if they came from the server's own page, which is the only one that it answers. */
const proxy = {
  "^/quarterdeck\\.v1\\.": {
    target: server,
    changeOrigin: true,
    headers: { origin: server },
  },
};

export default defineConfig({
  server: { host: "localhost", proxy },
  resolve: { dedupe: ["@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-web"] },
  build: {
    target: "es2022",
    sourcemap: false,
    // Pages are small; a module preload polyfill would only add bytes.
    modulePreload: { polyfill: false },
    // The content security policy allows no data: fonts or styles, so nothing is put into other files.
    assetsInlineLimit: 0,
  },
});
