// Search by primitive, name, path and shape. It runs on the data, so it finds what is inside closed bands too.

const FIELDS = /^(op|name|shape|line):(.+)$/;

/** What can be found of a row, in lower case, by field. */
function searchable(row) {
  if (isBand(row) || row.beside) return null;
  const arrays = [row.out ?? row.array, ...row.params.map((param) => param.array)].filter(Boolean);
  const path = row.band === TOP ? '' : rows[row.band].path;
  const names = [path, row.name, ...row.params.map((param) => param.path)];
  return {
    op: (row.op ?? row.kind).toLowerCase(),
    name: [...names, isOp(row) ? `r${row.number}` : ''].join(' ').toLowerCase(),
    shape: arrays.map(shapeOf).join(' '),
    line: row.source ? row.source.join(':').toLowerCase() : '',
  };
}

let index = null; // made at the first search
let hits = []; // rows found, in order
let current = -1; // which of them was jumped to last
let shownHits = []; // strips with a mark

function search(text) {
  index ??= rows.map(searchable);
  const terms = text.toLowerCase().trim().split(/\s+/).filter(Boolean);
  hits = terms.length
    ? rows.filter((row) => index[row.index] && terms.every((term) => matches(index[row.index], term)))
    : [];
  current = -1;
  showHits();
  byElementId('found').textContent = terms.length ? matchCount(hits.length) : '';
}

const matchCount = (n) => (n ? `${integer(n)} match${n === 1 ? '' : 'es'}` : 'no match');

function matches(found, term) {
  const asShape = term.replace(/(\d)[x×](?=\d)/g, '$1,');
  const [, field, rest] = FIELDS.exec(term) ?? [];
  if (field) return found[field].includes(field === 'shape' ? rest.replace(/[x×]/g, ',') : rest);
  const inWords = [found.op, found.name, found.line].some((text) => text.includes(term));
  return inWords || (/\d/.test(term) && found.shape.includes(asShape));
}

/** Mark what was found: the card of a rung shown, or the number of matches at the title of a closed band. */
function showHits() {
  for (const element of shownHits) element.classList.remove('hit', 'current-hit');
  shownHits = [];
  const inside = new Map(); // closed band's strip -> matches
  for (const row of hits) {
    const k = stripOf[row.index];
    if (strips[k].part === 'sum') inside.set(k, (inside.get(k) ?? 0) + 1);
    const { element } = strips[k];
    element.classList.add('hit');
    if (hits[current] === row) element.classList.add('current-hit');
    shownHits.push(element);
  }
  for (const box of document.querySelectorAll('.matches:not([hidden])')) box.hidden = true;
  for (const [k, n] of inside) {
    const box = bandElement(strips[k].row).querySelector('.matches');
    box.textContent = matchCount(n);
    box.hidden = false;
  }
}

/** Jump to the next match, or the one before. */
function jump(by) {
  if (!hits.length) return;
  current = (current + by + hits.length) % hits.length;
  const row = hits[current];
  reveal(row);
  update();
  strips[stripOf[row.index]].element.scrollIntoView({ block: 'center', inline: 'nearest' });
  byElementId('found').textContent = `${integer(current + 1)} of ${integer(hits.length)}`;
  if (selected === null) showDetails(row);
}
