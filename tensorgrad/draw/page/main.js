// Puts the page together, and answers the reader.

/** px: how wide each lane is, and the gap before it. */
const LANE_WIDTHS = { parameters: 144, forward: 176, saved: 128, backward: 176, gradients: 150, update: 140, next: 88 };
const GAP = 22;

let pictureWidth = 0; // px

/** Lay out the lanes that are used from left to right. */
function setLanes() {
  const used = (lane) => (lanesUsed.has(lane) ? LANE_WIDTHS[lane] : 0);
  const gap = (lane) => (lanesUsed.has(lane) ? GAP : 0);
  const columns = [
    ['parameters', used('parameters')],
    ['', gap('parameters')],
    ['left', gutter.left],
    ['forward', used('forward')],
    ['', gap('saved')],
    ['saved', used('saved')],
    ['', gap('backward')],
    ['backward', used('backward')],
    ['right', lanesUsed.has('backward') ? gutter.right : 0],
    ['', gap('gradients')],
    ['gradients', used('gradients')],
    ['', gap('update')],
    ['update', used('update')],
    ['', gap('next')],
    ['next', used('next')],
  ];
  const padding = 12 + deepest * 6;
  pictureWidth = columns.reduce((sum, [, width]) => sum + width, 2 * padding);
  const style = document.documentElement.style;
  style.setProperty(
    '--columns',
    columns.map(([name, width]) => (name ? `[${name}] ${width}px` : `${width}px`)).join(' '),
  );
  style.setProperty('--padding', `${padding}px`);
  style.setProperty('--width', `${pictureWidth}px`);
  style.setProperty('--gap', `${GAP}px`);
  style.setProperty('--to-backward', `${gap('saved') + used('saved') + gap('backward')}px`);
  style.setProperty('--to-forward', `${GAP + gutter.left}px`);
  style.setProperty('--to-gradients', `${GAP + gutter.right}px`);
  style.setProperty('--print-zoom', Math.min(1, 1040 / pictureWidth).toFixed(3));
  for (const head of document.querySelectorAll('#lanes [data-lane]')) head.hidden = !lanesUsed.has(head.dataset.lane);
}

/** Bring everything up to date with what is open, selected, found and measured. */
function update() {
  listStrips();
  setScale(strips.filter((strip) => strip.holdsCards).map((strip) => strip.row));
  document.documentElement.style.setProperty('--largest', heat.largest);
  refreshMeasures();
  drawArrows();
  showSelection();
  showHits();
  drawMap();
}

let refreshed = ''; // the measure and scale that the cards show

/** Rewrite figures and bars where the measure or the limits of the colours have changed, and the legend with them. */
function refreshMeasures() {
  const key = `${measure} ${heat.warm} ${heat.hot}`;
  for (const { element, holdsCards } of strips) {
    if (!holdsCards || element.measured === key) continue;
    element.measured = key;
    for (const card of element.querySelectorAll('.card')) refreshMeasure(card);
  }
  if (refreshed === key) return;
  refreshed = key;
  byElementId('legend').innerHTML =
    `<span><i class="cool"></i>below ${percent(heat.warm)}</span><span><i class="warm"></i>below ${percent(heat.hot)}</span>` +
    `<span><i class="hot"></i>more, ${MEASURES[measure].of}</span>`;
}

function setMeasure(name) {
  if (!MEASURES[name].whole || name === measure) return;
  measure = name;
  showMeasure();
  update();
  if (selected === null) showDetails(null);
}

function showMeasure() {
  for (const button of document.querySelectorAll('[data-measure]')) {
    button.setAttribute('aria-pressed', button.dataset.measure === measure);
    button.disabled = !MEASURES[button.dataset.measure].whole;
    if (button.disabled) button.title = 'not in this trace; times are taken by trace(times=True)';
  }
}

function openAll(open) {
  setAllOpen(open);
  update();
  restoreFocus();
}

/** Rebuilt or hidden cards lose the focus: give it to something that is there. */
function restoreFocus() {
  if (focused?.isConnected && focused.offsetParent) return;
  const first = strips[0]?.element.querySelector('.name, .card');
  if (first) setFocused(first);
}

/** Open or close a band. */
function toggle(band) {
  reveal(band);
  setOpen(band, !openBands[band.index]);
  update();
  focusCard(elementsOf[band.index].head);
  if (selected === null || selected === band) showDetails(band);
}

function toggleCompact() {
  const on = byElementId('grid').classList.toggle('compact');
  byElementId('compact').setAttribute('aria-pressed', on);
  drawMap();
}

function togglePanel() {
  document.body.classList.toggle('without-panel');
  fitWidth();
  drawMap();
}

// -- listening --------------------------------------------------------------------------------------------------------

function onClick(event) {
  const name = event.target.closest('.band .name');
  const card = event.target.closest('.card');
  if (name) return toggle(rows[name.dataset.row]);
  if (!card) return;
  setFocused(card);
  select(rows[card.dataset.row]);
}

function onDoubleClick(event) {
  const card = event.target.closest('.sum .card');
  if (!card) return;
  if (selected) select(null);
  toggle(rows[card.dataset.row]);
}

/** Show what is under the pointer or the focus, unless something is selected. */
function onPoint(event) {
  const over = event.target.closest('.card, .band .name');
  if (event.type === 'focusin' && over) setFocused(over);
  if (over && selected === null) showDetails(rows[over.dataset.row]);
}

function onPanelClick(event) {
  const button = event.target.closest('.link');
  if (!button) return;
  if (button.dataset.go) goTo(rows[button.dataset.go]);
  else {
    toggle(rows[button.dataset.toggle]);
    showDetails(rows[button.dataset.toggle]);
  }
}

function listen() {
  const grid = byElementId('rows');
  const on = (id, type, action, options) => byElementId(id).addEventListener(type, action, options);
  grid.addEventListener('click', onClick);
  grid.addEventListener('dblclick', onDoubleClick);
  grid.addEventListener('pointerover', onPoint);
  grid.addEventListener('focusin', onPoint);
  grid.addEventListener(
    'pointerleave',
    () => selected === null && !grid.contains(document.activeElement) && showDetails(null),
  );
  on('details', 'click', onPanelClick);
  document.addEventListener('keydown', onKey);

  let waiting;
  on('search', 'input', (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      search(event.target.value);
      drawMap();
    }, 60);
  });
  for (const button of document.querySelectorAll('[data-measure]'))
    button.addEventListener('click', () => setMeasure(button.dataset.measure));
  on('theme', 'click', () => {
    toggleTheme();
    drawMap();
  });
  on('compact', 'click', toggleCompact);
  on('open-all', 'click', () => openAll(true));
  on('close-all', 'click', () => openAll(false));
  on('zoom-in', 'click', () => setZoom(zoom * 1.15));
  on('zoom-out', 'click', () => setZoom(zoom / 1.15));
  on('zoom-fit', 'click', fitWidth);

  on('view', 'scroll', followScroll, { passive: true });
  on('view', 'wheel', onWheel, { passive: false });
  on('view', 'pointerdown', beginPan);
  addEventListener('pointermove', pan);
  addEventListener('pointerup', endPan);
  on('map', 'pointerdown', goByMap);
  on('map', 'pointermove', goByMap);
  addEventListener('resize', drawMap);
}

/** Ctrl and the wheel zoom about the pointer; the wheel alone scrolls. */
function onWheel(event) {
  if (!event.ctrlKey) return;
  event.preventDefault();
  setZoom(zoom * Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
}

function start() {
  setGutters();
  setLanes();
  openAtFirst();
  buildInside(TOP);
  mapOf().hidden = rows.filter(isRung).length < LONG;
  setTheme(matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
  update();
  fitWidth();
  showMeasure();
  showDetails(null);
  restoreFocus();
  listen();
  const wanted = rows.find((row) => `#${encodeURIComponent(row.id)}` === location.hash);
  if (wanted) goTo(wanted);
  document.documentElement.dataset.ready = Math.round(performance.now());
}

start();
