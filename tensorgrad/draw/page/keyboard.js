// Everything by keyboard. One card or band title at a time can be reached by Tab; arrows move from there.

let focused = null; // the card or button that has tabindex 0

function setFocused(element) {
  if (focused) focused.tabIndex = -1;
  focused = element;
  focused.tabIndex = 0;
}

function moveFocus(element) {
  setFocused(element);
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

/** Focus a strip: the title of a band, else the card of a lane, else its main card. */
function focusCard(element, lane = 'forward') {
  const found =
    element.querySelector('.name') ??
    element.querySelector(`.card[data-lane="${lane}"]`) ??
    element.querySelector('.card.main');
  if (found) moveFocus(found);
}

const PAGE_KEYS = {
  '/': () => {
    byElementId('search').focus();
    byElementId('search').select();
  },
  n: () => jump(1),
  N: () => jump(-1),
  t: () => setMeasure('time'),
  m: () => setMeasure('memory'),
  f: () => setMeasure('flops'),
  d: toggleTheme,
  c: toggleCompact,
  p: togglePanel,
  '+': () => setZoom(zoom * 1.15),
  '-': () => setZoom(zoom / 1.15),
  0: fitWidth,
  '[': () => openAll(false),
  ']': () => openAll(true),
  Escape: letGo,
};

function letGo() {
  if (selected) select(null);
  else if (hits.length) clearSearch();
}

function clearSearch() {
  byElementId('search').value = '';
  search('');
}

function onKey(event) {
  if (event.target.id === 'search') return onSearchKey(event);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const onCard = event.target.closest?.('.card, .band .name');
  const action = PAGE_KEYS[event.key] ?? (onCard ? CARD_KEYS[event.key] : undefined);
  if (!action) return;
  event.preventDefault();
  action(onCard);
}

function onSearchKey(event) {
  if (event.key === 'Enter') jump(event.shiftKey ? -1 : 1);
  else if (event.key === 'Escape') {
    clearSearch();
    event.target.blur();
  } else if (event.key === 'ArrowDown' && hits.length) {
    if (current < 0) jump(1);
    focusCard(strips[stripOf[hits[current].index]].element);
  } else return;
  event.preventDefault();
}

const CARD_KEYS = {
  ArrowDown: (from) => moveBetweenStrips(from, 1),
  ArrowUp: (from) => moveBetweenStrips(from, -1),
  ArrowRight: moveRight,
  ArrowLeft: moveLeft,
  Home: () => focusCard(strips[0].element),
  End: () => focusCard(strips.findLast((strip) => strip.part !== 'foot').element),
  Enter: activate,
  ' ': activate,
};

const isTitle = (element) => element.classList.contains('name');

function moveBetweenStrips(from, by) {
  const here = from.closest('.strip');
  let k = strips.findIndex((strip) => strip.element === here) + by;
  while (strips[k]?.part === 'foot') k += by;
  if (strips[k]) focusCard(strips[k].element, from.dataset.lane);
}

function neighbour(from, by) {
  const cards = [...from.closest('.strip').querySelectorAll('.card')];
  return cards[cards.indexOf(from) + by];
}

function moveRight(from) {
  if (!isTitle(from)) {
    const next = neighbour(from, 1);
    if (next) moveFocus(next);
  } else if (!openBands[from.dataset.row]) toggle(rows[from.dataset.row]);
  else moveBetweenStrips(from, 1);
}

function moveLeft(from) {
  const row = rows[from.dataset.row];
  const before = isTitle(from) ? null : neighbour(from, -1);
  if (isTitle(from) && openBands[row.index]) toggle(row);
  else if (before) moveFocus(before);
  else if (isBand(row) && !isTitle(from)) focusCard(elementsOf[row.index].head);
  else if (row.band !== TOP) focusCard(elementsOf[row.band].head);
}

function activate(element) {
  const row = rows[element.dataset.row];
  if (isTitle(element)) toggle(row);
  else select(row);
}
