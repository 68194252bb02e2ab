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
  const canvas = mapOf().querySelector('canvas');
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext('2d');
  pen.scale(scale, scale);
  const place = (k) => (k / strips.length) * height;
  const thick = Math.max(1, height / strips.length - 0.5);

  const colours = { none: colour('cool'), cool: colour('cool'), warm: colour('warm'), hot: colour('hot') };
  strips.forEach(({ row, holdsCards }, k) => {
    if (!holdsCards) return;
    const share = Math.max(...MEASURED_LANES.map((lane) => shareOf(row, lane)));
    pen.fillStyle = colours[heatOf(share)];
    pen.fillRect(3, place(k), 1 + (share / heat.largest) * (width - 8), thick);
  });

  const tick = (marked, tone, wide) => {
    pen.fillStyle = colour(tone);
    for (const k of marked.map((row) => stripOf[row.index])) {
      if (k >= 0) pen.fillRect(0, place(k) - 0.5, wide, Math.max(2.5, thick));
    }
  };
  tick(
    rows.filter((row) => alarmsOf(row).length),
    'alarm',
    width,
  );
  tick(hits, 'hit', 8);
  tick(selected ? [selected] : [], 'strong', width);
}

function drawMapWindow() {
  if (mapOf().hidden) return;
  const [first, last] = stripsInView();
  const { style } = mapOf().querySelector('.window');
  const place = (k) => `${(100 * k) / strips.length}%`;
  style.top = place(first);
  style.height = place(last + 1 - first);
}

/** Bring the strip at a point of the map into the middle of the view. */
function goByMap(event) {
  if (event.type === 'pointermove' && !(event.buttons & 1)) return;
  const frame = mapOf().getBoundingClientRect();
  const share = (event.clientY - frame.top) / frame.height;
  const k = Math.min(strips.length - 1, Math.max(0, Math.floor(share * strips.length)));
  strips[k].element.scrollIntoView({ block: 'center', inline: 'nearest' });
}
