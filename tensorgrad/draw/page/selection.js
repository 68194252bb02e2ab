// The selected row: its cards and those it has to do with get a ring and a word. Nothing else is dimmed, so that
// all text stays readable; only rails that lead elsewhere fade.

let selected = null;
const isSelected = (row) => selected !== null && isWithin(row, selected);

/** Cards that the selection has to do with, as [row, lane, word]. The first word for a card counts. */
function related(row) {
  if (isBand(row)) return relatedToBand(row);
  const found = [[row, isOp(row) ? row.lane : 'forward', isOp(row) ? 'selected' : row.kind]];
  const own = {
    backward: 'its backward',
    saved: 'saved',
    parameters: 'parameters',
    gradients: 'gradients',
    update: 'update',
    next: 'next step',
  };
  for (const [lane, word] of Object.entries(own)) found.push([row, lane, word]);
  for (const edge of row.edges) {
    found.push([edge.row, 'forward', 'input']);
    if (edge.grad) found.push([edge.row, 'backward', 'gets gradient']);
  }
  for (const user of users.get(row.id) ?? []) {
    found.push([user, 'forward', 'output']);
    if (user.edges.some((edge) => edge.row === row && edge.grad)) found.push([user, 'backward', 'sends gradient']);
  }
  for (const value of row.saved)
    if (byId.has(value.shares)) found.push([byId.get(value.shares), 'saved', 'shares it']);
  for (const keeper of keepersOf.get(row.id) ?? []) found.push([keeper, 'saved', 'keeps it']);
  for (const param of row.params)
    if (byId.has(param.shared)) found.push([byId.get(param.shared), 'parameters', 'shared']);
  for (const back of row.backs) for (const id of back.rows) found.push([byId.get(id), 'forward', 'its backward']);
  return found;
}

/** What flows into a band and out of it. */
function relatedToBand(band) {
  const found = [];
  for (const row of rows) {
    for (const edge of row.edges) {
      const from = isWithin(edge.row, band);
      const to = isWithin(row, band);
      if (from && !to) found.push([row, 'forward', 'output']);
      if (to && !from) found.push([edge.row, 'forward', 'input']);
    }
  }
  return found;
}

/** For the id of a row, the ops that keep its output for their own backward. */
const keepersOf = new Map();
for (const row of rows) {
  for (const value of row.saved) if (byId.has(value.made_by)) push(keepersOf, value.made_by, row);
}

let tagged = []; // cards with a word on them
let lit = null; // the strip of the selected row

function showSelection() {
  for (const element of tagged) delete element.dataset.tag;
  tagged = [];
  lit?.classList.remove('selected');
  lit?.removeAttribute('aria-selected');
  lit = null;
  document.documentElement.classList.toggle('has-selection', selected !== null);
  if (selected === null) return;
  const own = stripOf[selected.index];
  lit = own >= 0 ? strips[own].element : (elementsOf[selected.index].head ?? null);
  lit?.classList.add('selected');
  lit?.setAttribute('aria-selected', true);
  for (const [row, lane, word] of related(selected)) tag(row, lane, word);
}

function tag(row, lane, word) {
  if (row.beside) [row, lane] = [byId.get(row.beside), 'parameters'];
  const k = stripOf[row.index];
  if (k < 0) return;
  const found = strips[k].element.querySelector(`.card[data-lane="${lane}"]`);
  if (!found || found.dataset.tag) return;
  const stacked = strips[k].part === 'sum' && strips[k].row !== row;
  found.dataset.tag = stacked && lane !== 'next' ? `${word} (inside)` : word; // the last lane is too narrow for that
  tagged.push(found);
}

/** Select a row, or nothing. Choosing the selected row again lets it go. */
function select(row) {
  selected = row === selected ? null : row;
  if (selected) reveal(selected);
  update();
  showDetails(selected);
  try {
    history.replaceState(
      null,
      '',
      selected ? `#${encodeURIComponent(selected.id)}` : location.pathname + location.search,
    );
  } catch {
    // a page without an address of its own, as in a notebook, keeps none
  }
}

/** Open what hides a row, select it and bring it to the middle. */
function goTo(row) {
  if (row.beside) row = byId.get(row.beside);
  if (selected !== row) select(row);
  const k = stripOf[row.index];
  const element = k >= 0 ? strips[k].element : elementsOf[row.index].head;
  focusCard(element);
  element.scrollIntoView({ block: 'center', inline: 'nearest' });
}
