// The map beside a long picture: every rung as a bar of its share, what was found, what is selected, and the part in view.

const LONG = 24; // rungs: from here on a map is of use

const mapOf = () => byElementId('map');

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

let mapWaits = false;

/** Draw the map anew, once for all changes that happen together. */
function drawMap() {
  if (mapWaits) return;
  mapWaits = true;
  requestAnimationFrame(() => {
    mapWaits = false;
    if (mapOf().hidden) return;
    paintMap();
    drawMapWindow();
  });
}

function paintMap() {
  const canvas = mapOf().querySelector('canvas'), { clientWidth: width, clientHeight: height } = canvas, scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext('2d'), colours = { cool: colour('cool'), warm: colour('warm'), hot: colour('hot') };
  const place = (k) => (k / strips.length) * height, thick = Math.max(1, height / strips.length - 0.5);
  pen.scale(scale, scale);
  strips.forEach(({ row, holdsCards }, k) => {
    if (!holdsCards) return;
    const share = Math.max(...Object.keys(PHASE_OF_LANE).map((lane) => shareOf(row, lane)), measure === 'memory' ? shareOf(row, 'saved') : 0);
    pen.fillStyle = colours[heatOf(share)];
    pen.fillRect(3, place(k), 1 + (share / heat.largest) * (width - 8), thick);
  });
  const ticks = (found, tone, wide) => {
    pen.fillStyle = colour(tone);
    for (const row of found) if (stripOf[row.index] >= 0) pen.fillRect(0, place(stripOf[row.index]) - 0.5, wide, Math.max(2.5, thick));
  };
  ticks(rows.filter((row) => alarmsOf(row).length), 'alarm', width);
  ticks(hits, 'hit', 8);
  if (selected) ticks([selected], 'strong', width);
}

function drawMapWindow() {
  if (mapOf().hidden) return;
  const [first, last] = stripsInView(), { style } = mapOf().querySelector('.window'), place = (k) => `${(100 * k) / strips.length}%`;
  style.top = place(first);
  style.height = place(last + 1 - first);
}

/** Bring the strip at a point of the map into the middle of the view. */
function goByMap(event) {
  if (event.type === 'pointermove' && !(event.buttons & 1)) return;
  const frame = mapOf().getBoundingClientRect(), share = (event.clientY - frame.top) / frame.height;
  const k = Math.min(strips.length - 1, Math.max(0, Math.floor(share * strips.length)));
  strips[k].element.scrollIntoView({ block: 'center', inline: 'nearest' });
}
