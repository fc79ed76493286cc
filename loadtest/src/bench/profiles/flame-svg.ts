import type { Frame } from './flame-tree.js';

const widthPixels = 1200;
const rowPixels = 17;
const headPixels = 26;
/** Narrower frames are left out, with all that they called. */
const framePixelsMin = 0.6;
const textPixelsMin = 30;
const glyphPixels = 6.6;

/** One flame graph below the other, each as wide as its busy time; a title on every frame. */
export function flameSvg(title: string, graphs: readonly Frame[]): string {
  const parts: string[] = [];
  let topPixels = headPixels;
  for (const graph of graphs.filter(({ microseconds }) => microseconds > 0)) {
    const rows = depthOf(graph, scaleOf(graph));
    parts.push(
      text(4, topPixels + 17, `${graph.name}: ${seconds(graph.microseconds)} busy`, 'head'),
    );
    const basePixels = topPixels + headPixels + (rows - 1) * rowPixels;
    draw({ graph, frame: graph, leftPixels: 0, topPixels: basePixels, parts });
    topPixels = basePixels + rowPixels + 8;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${widthPixels} ${topPixels}" font-family="monospace" font-size="11">
<style>.head{font-size:13px;font-weight:bold}rect{stroke:#fff;stroke-width:.5}g:hover rect{stroke:#000;stroke-width:1}text{pointer-events:none}</style>
<rect width="100%" height="100%" fill="#fff"/>
${text(4, 17, title, 'head')}
${parts.join('\n')}
</svg>
`;
}

interface Drawing {
  readonly graph: Frame;
  readonly frame: Frame;
  readonly leftPixels: number;
  readonly topPixels: number;
  readonly parts: string[];
}

/** A frame, and what it called above it, the longest first. */
function draw({ frame, graph, leftPixels, parts, topPixels }: Drawing): void {
  const scale = scaleOf(graph);
  const pixels = frame.microseconds * scale;
  const share = ((frame.microseconds / graph.microseconds) * 100).toFixed(1);
  const label =
    pixels < textPixelsMin
      ? ''
      : text(leftPixels + 3, topPixels + 12, frame.name.slice(0, Math.floor(pixels / glyphPixels)));
  parts.push(
    `<g><title>${escapeXml(`${frame.place}\n${seconds(frame.microseconds)}, ${share} %`)}</title>` +
      `<rect x="${leftPixels.toFixed(1)}" y="${topPixels}" width="${pixels.toFixed(1)}" ` +
      `height="${rowPixels - 1}" fill="${colour(frame.origin)}"/>${label}</g>`,
  );
  let calleePixels = leftPixels;
  for (const callee of shown(frame, scale)) {
    draw({
      graph,
      frame: callee,
      leftPixels: calleePixels,
      topPixels: topPixels - rowPixels,
      parts,
    });
    calleePixels += callee.microseconds * scale;
  }
}

function shown({ callees }: Frame, scale: number): Frame[] {
  return [...callees.values()]
    .filter(({ microseconds }) => microseconds * scale >= framePixelsMin)
    .toSorted((left, right) => right.microseconds - left.microseconds);
}

function depthOf(frame: Frame, scale: number): number {
  return 1 + Math.max(0, ...shown(frame, scale).map((callee) => depthOf(callee, scale)));
}

function scaleOf({ microseconds }: Frame): number {
  return widthPixels / microseconds;
}

/** The same for the same origin in every graph; grey for what is not JavaScript. */
function colour(origin: string): string {
  if (origin === 'all' || origin === 'native' || origin === 'node') {
    return origin === 'native' ? '#c8c8c8' : '#e0e0e0';
  }
  let hash = 7;
  for (const letter of origin) hash = (hash * 31 + letter.charCodeAt(0)) % 360;
  return `hsl(${hash} 70% 72%)`;
}

function text(leftPixels: number, topPixels: number, value: string, style?: string): string {
  const classes = style === undefined ? '' : ` class="${style}"`;
  return `<text x="${leftPixels.toFixed(1)}" y="${topPixels}"${classes}>${escapeXml(value)}</text>`;
}

function seconds(microseconds: number): string {
  return `${(microseconds / 1e6).toFixed(2)} s`;
}

function escapeXml(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
