// The map beside a long picture: every rung as a bar of its share, what was found, what is selected, and the part in view.

const LONG = 1.6; // times the height of the view: from here on a map is of use

const mapOf = () => byElementId('map');

/** Whether there is more than one look can take in. */
const isLong = () => byElementId('grid').offsetHeight * zoom > LONG * view().clientHeight;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

let mapPainted = null; // the map without the window, to draw the window on
let mapWaits = false;

/** Draw the map anew, once for all changes that happen together. */
function drawMap() {
  if (mapWaits) return;
  mapWaits = true;
  requestAnimationFrame(() => {
    mapWaits = false;
    mapOf().hidden = !isLong();
    if (mapOf().hidden) return;
    paintMap();
    drawMapWindow();
  });
}

function paintMap() {
  const canvas = mapOf(), { clientWidth: width, clientHeight: height } = canvas, scale = window.devicePixelRatio || 1;
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
  mapPainted = pen.getImageData(0, 0, canvas.width, canvas.height);
}

/** The strips at the upper and at the lower edge of the view. */
function stripsInView() {
  const box = view(), frame = box.getBoundingClientRect(), x = frame.left + Math.min(box.clientWidth, pictureWidth * zoom) / 2;
  const at = (y) => document.elementFromPoint(x, y)?.closest('.strip');
  const placeOf = (element) => strips.findIndex((strip) => strip.element === element);
  const first = at(frame.top + byElementId('lanes').offsetHeight * zoom + 4), last = at(frame.top + box.clientHeight - 4);
  return [first ? placeOf(first) : 0, last ? placeOf(last) : strips.length - 1];
}

function drawMapWindow() {
  const canvas = mapOf();
  if (canvas.hidden || !mapPainted) return;
  const pen = canvas.getContext('2d'), [first, last] = stripsInView(), place = (k) => (k / strips.length) * canvas.clientHeight;
  pen.putImageData(mapPainted, 0, 0);
  pen.strokeStyle = colour('strong');
  pen.lineWidth = 1.5;
  pen.strokeRect(1, place(first) + 0.75, canvas.clientWidth - 2, Math.max(6, place(last + 1) - place(first) - 1.5));
}

/** Bring the strip at a point of the map into the middle of the view. */
function goByMap(event) {
  if (event.type === 'pointermove' && !(event.buttons & 1)) return;
  const frame = mapOf().getBoundingClientRect(), share = (event.clientY - frame.top) / frame.height;
  const k = Math.min(strips.length - 1, Math.max(0, Math.floor(share * strips.length)));
  strips[k].element.scrollIntoView({ block: 'center', inline: 'nearest' });
}
