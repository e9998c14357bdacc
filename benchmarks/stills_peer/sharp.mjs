// Works for as long as it is asked: a line on stdin names a picture, a line on stdout
// tells the milliseconds that all sizes of it took.
import readline from "node:readline";
import sharp from "sharp";

const [folder, quality, ...sizes] = process.argv.slice(2);

async function write(picture) {
  const started = process.hrtime.bigint();
  const image = sharp(picture);
  await Promise.all(
    sizes.map((size) => {
      const [width, height] = size.split("x").map(Number);
      const target = `${folder}/sharp_${width}.jpg`;
      return image.clone().resize(width, height).jpeg({ quality: Number(quality) }).toFile(target);
    }),
  );
  return Number(process.hrtime.bigint() - started) / 1e6;
}

for await (const picture of readline.createInterface({ input: process.stdin })) {
  console.log(JSON.stringify({ value: await write(picture) }));
}
