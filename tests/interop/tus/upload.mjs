// Uploads a file to a slot with tus-js-client as it is: node upload.mjs PUT_URL FILE PAUSE_AT
//
// Writes a line of JSON for each request, and when so many bytes are acknowledged waits for a line before it goes on. test_tus.py runs it, where
// `npm ci` has been run in this folder.
import { createReadStream, readSync } from "node:fs";
import { Upload } from "tus-js-client";

const [url, path, pauseAt] = process.argv.slice(2);
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
let paused = false;

const upload = new Upload(createReadStream(path), {
  endpoint: url,
  chunkSize: 1 << 20,
  retryDelays: Array(60).fill(500),
  onBeforeRequest: (request) =>
    say({ method: request.getMethod(), offset: request.getHeader("Upload-Offset") ?? null }),
  onChunkComplete: (_, accepted) => {
    if (!paused && accepted >= Number(pauseAt)) {
      paused = true;
      say({ paused: accepted });
      readSync(0, Buffer.alloc(1));
    }
  },
  onSuccess: () => say({ done: upload.url }),
  onError: (error) => {
    say({ error: String(error) });
    process.exitCode = 1;
  },
});
upload.start();
