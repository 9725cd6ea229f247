// Line charts as SVG, with logarithmic axes: what a page needs to be read without anything else.

/** A line: its name, colour and points. */
export interface Line {
  name: string;
  colour: string;
  isDashed: boolean;
  points: readonly (readonly [x: number, y: number])[];
}

/** Where values lie on an axis, from 0 to 1, and what is written at it. */
export interface Axis {
  label: string;
  place: (value: number) => number;
  ticks: readonly { value: number; text: string }[];
}

const WIDTH = 560;
const HEIGHT = 320;
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 12, 28, 44];

export function escape(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Powers of ten around the values. */
export function logAxis(label: string, values: readonly number[], format: (value: number) => string): Axis {
  const first = Math.floor(Math.log10(Math.min(...values)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(...values))));
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index));
  return {
    label,
    place: (value) => (Math.log10(value) - first) / (last - first),
    ticks: ticks.map((value) => ({ value, text: format(value) })),
  };
}

/** A logarithmic axis on which only these values are written. */
export function valueAxis(label: string, values: readonly number[], format: (value: number) => string): Axis {
  const sorted = [...new Set(values)].sort((left, right) => left - right);
  const [first, last] = [Math.log(sorted[0]), Math.log(sorted[sorted.length - 1])];
  return {
    label,
    // One value alone stands in the middle.
    place: (value) => (last === first ? 0.5 : (Math.log(value) - first) / (last - first)),
    ticks: sorted.map((value) => ({ value, text: format(value) })),
  };
}

const NINES = 5;

/** Percentiles by their nines: 90, 99 and 99.9 are as far from each other as 0 and 90. The last place is 100. */
export function percentileAxis(label: string): Axis {
  return {
    label,
    place: (percentile) => Math.min(NINES, -Math.log10(Math.max(1e-9, 1 - percentile / 100))) / NINES,
    ticks: [0, 90, 99, 99.9, 99.99, 100].map((value) => ({ value, text: `${value}` })),
  };
}

const across = (axis: Axis, value: number): number => LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT);
const up = (axis: Axis, value: number): number =>
  HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM);

function grid(x: Axis, y: Axis): string {
  const vertical = x.ticks.map(({ value, text }) => {
    const at = across(x, value).toFixed(1);
    const line = `<line x1="${at}" x2="${at}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>`;
    return `${line}<text x="${at}" y="${HEIGHT - BOTTOM + 14}" text-anchor="middle">${escape(text)}</text>`;
  });
  const horizontal = y.ticks.map(({ value, text }) => {
    const at = up(y, value);
    const line = `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at.toFixed(1)}" y2="${at.toFixed(1)}"/>`;
    return `${line}<text x="${LEFT - 6}" y="${(at + 4).toFixed(1)}" text-anchor="end">${escape(text)}</text>`;
  });
  return [...vertical, ...horizontal].join('');
}

function curve(x: Axis, y: Axis, { name, colour, isDashed, points }: Line): string {
  const places = points.map(([at, value]) => [across(x, at).toFixed(1), up(y, value).toFixed(1)]);
  const path = places.map((place) => place.join()).join(' ');
  const dots = places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="2.5" fill="${colour}"/>`).join('');
  const dash = isDashed ? ' stroke-dasharray="5 3"' : '';
  const title = `<title>${escape(name)}</title>`;
  return `<g>${title}<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.8"${dash}/>${dots}</g>`;
}

/** A chart with its lines. */
export function chart(title: string, x: Axis, y: Axis, lines: readonly Line[]): string {
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  return [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(title)}">`,
    `<text x="${LEFT}" y="16" class="title">${escape(title)}</text>`,
    `<g class="grid">${grid(x, y)}</g>`,
    `<text x="${(LEFT + WIDTH) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escape(x.label)}</text>`,
    `<text transform="translate(14 ${middle}) rotate(-90)" text-anchor="middle">${escape(y.label)}</text>`,
    ...lines.map((line) => curve(x, y, line)),
    '</svg>',
  ].join('\n');
}
