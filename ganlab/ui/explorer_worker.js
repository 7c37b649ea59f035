// The explorer's other half, a module worker: it holds the graph and draws one picture at a time, so
// that the page stays free to follow the hand.
let ort, session, about;

onmessage = async ({data}) => {
  try {
    postMessage(data.open ? await open(data.open) : await draw(data));
  } catch (error) {
    postMessage({failed: String(error?.message ?? error)});
  }
};

async function bytesOf(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;  // not packed, or unpacked on the way
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

async function open({library, loader, wasm, model, ...rest}) {
  about = rest;
  const [runtime, binary, graph] =
    await Promise.all([import(library), bytesOf(wasm), bytesOf(model)]);
  ort = runtime;
  ort.env.wasm.wasmPaths = {mjs: loader};
  ort.env.wasm.wasmBinary = binary;
  ort.env.wasm.numThreads = 1;  // more need headers that gradio does not send
  ort.env.logLevel = "error";
  session = await ort.InferenceSession.create(graph, {executionProviders: ["wasm"]});
  return {opened: true};
}

async function draw({z, weights}) {
  const began = performance.now();
  const {images} = await session.run({
    z: new ort.Tensor("float32", z, [1, z.length]),
    weights: new ort.Tensor("float32", weights, [weights.length]),
  });
  return {drawn: toPixels(images.data), ms: performance.now() - began};
}

// From (channels, side, side) in [-1, 1] to what a canvas takes.
function toPixels(values) {
  const {size, channels} = about, area = size * size;
  const pixels = new Uint8ClampedArray(4 * area);
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++)
      pixels[4 * i + c] = 127.5 * (values[(channels === 1 ? 0 : c) * area + i] + 1);
    pixels[4 * i + 3] = 255;
  }
  return new ImageData(pixels, size, size);
}
