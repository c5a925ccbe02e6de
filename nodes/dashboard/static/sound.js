// The sound of an event as a picture: bands from low to high over time.

import { el } from "/static/dom.js";
import { hertz } from "/static/format.js";
import { heat } from "/static/strips.js";

const SIZE = 512;
const ROWS = 96;
const LOWEST_HZ = 40;
const TALL = 160;

export function soundPicture(url) {
  const canvas = el("canvas", { role: "img", "aria-label": "spectrogram of the sound" });
  const words = el("p", { class: "quiet" }, "Loading …");
  const root = el("div", { class: "strip" }, canvas, words);
  draw(canvas, words, url).catch((error) => { words.textContent = `No spectrogram: ${error.message}`; });
  return root;
}

async function draw(canvas, words, url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error("the sound is not there yet");
  const { rate, samples } = wave(await answer.arrayBuffer());
  const columns = Math.min(1200, Math.max(1, Math.floor((samples.length - SIZE) / (SIZE / 2))));
  const step = Math.max(1, (samples.length - SIZE) / columns);
  const image = new ImageData(columns, ROWS);
  const top = Math.log(rate / 2 / LOWEST_HZ);
  const levels = [];
  for (let column = 0; column < columns; column++) levels.push(spectrum(samples, Math.floor(column * step)));
  const all = levels.flatMap((one) => Array.from(one)).sort((a, b) => a - b);
  const low = all[Math.floor(all.length * 0.1)], high = all[Math.floor(all.length * 0.999)];
  levels.forEach((power, column) => {
    for (let row = 0; row < ROWS; row++) {
      const hz = LOWEST_HZ * Math.exp(((ROWS - 1 - row + 0.5) / ROWS) * top);
      const bin = Math.min(power.length - 1, Math.round((hz / rate) * SIZE));
      image.data.set([...heat((power[bin] - low) / (high - low || 1)), 255], (row * columns + column) * 4);
    }
  });
  const small = new OffscreenCanvas(columns, ROWS);
  small.getContext("2d").putImageData(image, 0, 0);
  const ratio = window.devicePixelRatio || 1;
  canvas.style.height = `${TALL}px`;
  canvas.width = (canvas.clientWidth || 600) * ratio;
  canvas.height = TALL * ratio;
  const pen = canvas.getContext("2d");
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
  words.textContent = `Pitch over time, ${hertz(LOWEST_HZ)} to ${hertz(rate / 2)}, ${(samples.length / rate).toFixed(1)} s; no part of it stands out by itself.`;
}

// 16-bit PCM of a WAV file, its first channel.
function wave(buffer) {
  const view = new DataView(buffer);
  const rate = view.getUint32(24, true), channels = view.getUint16(22, true);
  let at = 12;
  while (view.getUint32(at, false) !== 0x64617461) at += 8 + view.getUint32(at + 4, true); // "data"
  const count = Math.floor(Math.min(view.getUint32(at + 4, true), buffer.byteLength - at - 8) / 2 / channels);
  const samples = Float32Array.from({ length: count }, (_, i) => view.getInt16(at + 8 + 2 * channels * i, true) / 32768);
  return { rate, samples };
}

// Decibels per bin of SIZE samples from `start` on: Hann window, radix-2 FFT.
function spectrum(samples, start) {
  const real = new Float32Array(SIZE), imaginary = new Float32Array(SIZE);
  const bits = Math.log2(SIZE);
  for (let i = 0; i < SIZE; i++) {
    let swapped = 0;
    for (let bit = 0; bit < bits; bit++) swapped |= ((i >> bit) & 1) << (bits - 1 - bit);
    real[swapped] = (samples[start + i] ?? 0) * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));
  }
  for (let half = 1; half < SIZE; half *= 2) {
    for (let k = 0; k < half; k++) {
      const c = Math.cos((Math.PI * k) / half), s = -Math.sin((Math.PI * k) / half);
      for (let i = k; i < SIZE; i += 2 * half) {
        const re = real[i + half] * c - imaginary[i + half] * s, im = real[i + half] * s + imaginary[i + half] * c;
        real[i + half] = real[i] - re; imaginary[i + half] = imaginary[i] - im;
        real[i] += re; imaginary[i] += im;
      }
    }
  }
  return Float32Array.from({ length: SIZE / 2 }, (_, i) => 10 * Math.log10(real[i] ** 2 + imaginary[i] ** 2 + 1e-10));
}
