// Draws COUNT pictures of a DiceBear style and writes their raw RGBA pixels to standard output.
//
//   node draw.mjs STYLE COUNT SIZE
//
// The seeds are train-0, train-1, …, so that the same versions always draw the same pictures.
// Pixels, not files: the caller chooses how to compress them, and nothing needs cleaning up.

import { writeSync } from "node:fs";
import { createAvatar } from "@dicebear/core";
import * as collection from "@dicebear/collection";
import { Resvg } from "@resvg/resvg-js";

const STYLES = {
  avataaars: collection.avataaars,
  bottts: collection.bottts,
  lorelei: collection.lorelei,
  micah: collection.micah,
  "open-peeps": collection.openPeeps,
  personas: collection.personas,
  "pixel-art": collection.pixelArt,
};
const BACKGROUNDS = ["b6e3f4", "c0aede", "d1d4f9", "ffd5dc", "ffdfbf"];

const [styleName, countText, sizeText] = process.argv.slice(2);
const count = Number(countText);
const size = Number(sizeText);
if (!(styleName in STYLES) || !(count > 0) || !(size > 0)) {
  console.error(`usage: node draw.mjs STYLE COUNT SIZE, STYLE one of ${Object.keys(STYLES)}`);
  process.exit(2);
}

// A pipe may take only part of a buffer, or ask to be tried again.
function writeAll(buffer) {
  for (let offset = 0; offset < buffer.length; ) {
    try {
      offset += writeSync(1, buffer, offset);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

for (let index = 0; index < count; index++) {
  const avatar = createAvatar(STYLES[styleName], {
    seed: `train-${index}`,
    size,
    backgroundColor: BACKGROUNDS,
  });
  const { pixels } = new Resvg(avatar.toString(), { fitTo: { mode: "width", value: size } }).render();
  if (pixels.length !== size * size * 4) {
    throw new Error(`${styleName} ${index}: expected ${size}×${size} pixels`);
  }
  writeAll(pixels);
}
