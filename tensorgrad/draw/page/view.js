// How the picture is looked at: theme, zoom, panning, and where one is.

const view = () => byElementId('view');

// -- theme --

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byElementId('theme').textContent = theme === 'dark' ? 'Light' : 'Dark';
}

const toggleTheme = () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark');

// -- zoom --

const SMALLEST = 0.3;
const LARGEST = 2.5;
const SMALLEST_FIT = 0.8;
let zoom = 1;

/** Zoom, keeping the point (x, y) of the window where it is; the middle of the view by default. */
function setZoom(wanted, x = null, y = null) {
  const box = view();
  const frame = box.getBoundingClientRect();
  const before = zoom;
  zoom = Math.min(LARGEST, Math.max(SMALLEST, wanted));
  const dx = x === null ? frame.width / 2 : x - frame.left;
  const dy = y === null ? frame.height / 2 : y - frame.top;
  const left = (box.scrollLeft + dx) / before;
  const top = (box.scrollTop + dy) / before;
  byElementId('grid').style.zoom = zoom;
  setLineWidth();
  box.scrollLeft = left * zoom - dx;
  box.scrollTop = top * zoom - dy;
  byElementId('zoom-fit').textContent = `${Math.round(zoom * 100)}${NBSP}%`;
}

/** Lines of about 2 px, but of whole pixels of the screen at any zoom, so that all are equally thick. */
function setLineWidth() {
  const scale = zoom * (window.devicePixelRatio || 1);
  const thin = Math.max(1, Math.round(2 * scale)) / scale;
  byElementId('grid').style.setProperty('--thin', `${thin}px`);
  byElementId('grid').style.setProperty('--thick', `${2 * thin}px`);
}

/** As wide as the view, but never so small that it cannot be read. */
function fitWidth() {
  const wanted = Math.floor((100 * view().clientWidth) / pictureWidth) / 100;
  const frame = view().getBoundingClientRect();
  setZoom(Math.min(1, Math.max(SMALLEST_FIT, wanted)), frame.left, frame.top);
}

// -- panning: drag the empty background --

let panning = null; // {x, y, left, top, moved}

function beginPan(event) {
  if (event.button !== 0 || event.target.closest('.card, button, #lanes') || event.pointerType === 'touch') return;
  const box = view();
  const frame = box.getBoundingClientRect();
  if (event.clientX >= frame.left + box.clientWidth || event.clientY >= frame.top + box.clientHeight) return; // a scroll bar
  panning = { x: event.clientX, y: event.clientY, left: box.scrollLeft, top: box.scrollTop, moved: false };
}

function pan(event) {
  if (!panning) return;
  const dx = event.clientX - panning.x;
  const dy = event.clientY - panning.y;
  const box = view();
  if (!panning.moved && Math.hypot(dx, dy) < 4) return;
  panning.moved = true;
  box.classList.add('panning');
  box.scrollLeft = panning.left - dx;
  box.scrollTop = panning.top - dy;
}

function endPan() {
  view().classList.remove('panning');
  panning = null;
}

// -- where one is: the path of the module at the top of the view --

let trailWaits = false;

function followScroll() {
  if (trailWaits) return;
  trailWaits = true;
  requestAnimationFrame(() => {
    trailWaits = false;
    showTrail();
    drawMapWindow();
  });
}

function showTrail() {
  const trail = byElementId('trail');
  const row = rowAtTop();
  const path = row ? [...bandsAround(row), ...(isBand(row) ? [row] : [])].map((band) => band.name) : [];
  trail.textContent = path.join(' › ');
}

/** The strip at a height of the window. */
function stripAt(y) {
  let first = 0;
  let last = strips.length - 1;
  while (first < last) {
    const middle = (first + last) >> 1;
    if (strips[middle].element.getBoundingClientRect().bottom > y) last = middle;
    else first = middle + 1;
  }
  return first;
}

/** The strips at the upper and at the lower edge of the view. */
function stripsInView() {
  const heads = byElementId('lanes').getBoundingClientRect();
  const frame = view().getBoundingClientRect();
  return [stripAt(heads.bottom + 1), stripAt(frame.top + view().clientHeight - 1)];
}

/** The row at the upper edge of the view, null when all is at the top. */
const rowAtTop = () => (view().scrollTop < 60 ? null : strips[stripsInView()[0]].row);
