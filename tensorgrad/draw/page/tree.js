// Which bands are open, and the strips on the page. The inside of a band is built when it is first opened.

const openBands = new Uint8Array(rows.length);
const builtBands = new Uint8Array(rows.length);
const elementsOf = rows.map(() => ({})); // row index -> its strips by part: op, io, loss, head, sum or foot

let strips = []; // those shown, from top to bottom: {row, element, part, holdsCards}
const stripOf = new Int32Array(rows.length).fill(-1); // row index -> the shown strip that stands for it

/** Build the rows right inside a band, and those of open bands among them. */
function buildInside(bandIndex) {
  const waiting = [bandIndex];
  while (waiting.length) {
    const index = waiting.pop();
    const box = index === TOP ? byElementId('rows') : bandElement(rows[index]).querySelector(':scope > .body');
    box.innerHTML = children.get(index).map(rowHtml).join('');
    if (index !== TOP) builtBands[index] = 1;
    for (const element of box.querySelectorAll('.strip'))
      elementsOf[element.dataset.row][element.dataset.part] = element;
    for (const row of children.get(index)) {
      if (!isBand(row)) continue;
      showOpen(row);
      if (openBands[row.index]) waiting.push(row.index);
    }
  }
}

const bandElement = (band) => elementsOf[band.index].head.parentNode;

/** Make the page agree with `openBands`. */
function showOpen(band) {
  const open = Boolean(openBands[band.index]);
  bandElement(band).classList.toggle('closed', !open);
  elementsOf[band.index].head.setAttribute('aria-expanded', open);
}

function setOpen(band, open) {
  if (Boolean(openBands[band.index]) === open) return;
  openBands[band.index] = open ? 1 : 0;
  if (!elementsOf[band.index].head) return; // it will be built in this state
  if (open && !builtBands[band.index]) buildInside(band.index);
  showOpen(band);
}

function setAllOpen(open) {
  for (const row of rows) if (isBand(row)) openBands[row.index] = open ? 1 : 0;
  if (open) buildInside(TOP);
  else for (const row of rows) if (isBand(row) && elementsOf[row.index].head) showOpen(row);
}

/** Open every band around a row. */
function reveal(row) {
  for (const band of bandsAround(row)) setOpen(band, true);
}

const MOST_ROWS = 130; // of a picture as it is first seen
const MOST_ALARMS = 5; // that are laid open

/**
 * What is open at first: what the picture says, if it closes anything; else level by level as much as can be
 * read in a few screens (of siblings inside a module all or none), and what went wrong.
 */
function openAtFirst() {
  const bands = rows.filter(isBand);
  for (const band of bands) {
    const isShort = children.get(band.index).length === 1 && band.sum.ops === 1; // as short open as closed
    if (isShort) openBands[band.index] = 1;
  }
  if (bands.some((band) => band.closed)) {
    for (const band of bands) openBands[band.index] = band.closed ? 0 : 1;
    return;
  }
  let shown = children.get(TOP).length;
  let level = [TOP];
  while (level.length) {
    const opened = [];
    for (const index of level) {
      const inside = children.get(index).filter(isBand);
      const groups = index === TOP ? inside.map((band) => [band]) : [inside];
      for (const group of groups) {
        const more = group.reduce((sum, band) => sum + children.get(band.index).length - 1, 0); // a closed band is a row too
        if (shown + more > MOST_ROWS) continue;
        shown += more;
        for (const band of group) opened.push(band.index);
      }
    }
    for (const index of opened) openBands[index] = 1;
    level = opened;
  }
  for (const row of rows.filter((row) => alarmsOf(row).length).slice(0, MOST_ALARMS)) {
    for (const band of bandsAround(row)) openBands[band.index] = 1;
  }
}

/** List the strips shown, and which of them stands for each row. */
function listStrips() {
  strips = [];
  stripOf.fill(-1);
  const around = []; // the open bands that the current row is in
  const show = (row, part, holdsCards) =>
    strips.push({ row, part, holdsCards, element: elementsOf[row.index][part] }) - 1;
  const closeUntil = (index) => {
    while (around.length && around[around.length - 1].end <= index) show(around.pop(), 'foot', false);
  };
  for (let index = 0; index < rows.length; index++) {
    closeUntil(index);
    const row = rows[index];
    if (row.beside) continue;
    if (!isBand(row)) {
      stripOf[index] = show(row, Object.keys(elementsOf[index])[0], true);
    } else if (openBands[index]) {
      show(row, 'head', false);
      around.push(row);
    } else {
      show(row, 'head', false);
      stripOf.fill(show(row, 'sum', true), index, row.end);
      show(row, 'foot', false);
      index = row.end - 1;
    }
  }
  closeUntil(rows.length);
}
