// The picture model, and what follows from it: who stands in which band, who uses whose value.

const byElementId = (id) => document.getElementById(id);

const picture = JSON.parse(byElementId('picture').textContent);

/** Fields that hold their default are not written down; `picture.defaults` has them by kind. */
const complete = (entry, kind) => ({ ...picture.defaults[kind], ...entry });
const completeAll = (entries, kind) => entries.map((entry) => complete(entry, kind));
const completeArray = (array) => (array ? complete(array, 'array') : null);
const withArrays = (entries, kind) =>
  entries.map((entry) => ({ ...complete(entry, kind), array: completeArray(entry.array) }));

// What only ops have, for other rows.
const NO_CARDS = { inputs: [], params: [], saved: [], backs: [], updates: [], stops: [], marks: [] };

function completeRow(given) {
  const row = { ...NO_CARDS, ...complete(given, given.kind) };
  row.sum = complete(row.sum, 'sum');
  row.out = completeArray(row.out);
  row.array = completeArray(row.array);
  if (row.kind !== 'op') return row;
  row.inputs = withArrays(row.inputs, 'edge');
  row.params = withArrays(row.params, 'param');
  row.saved = withArrays(row.saved, 'saved');
  row.backs = completeAll(row.backs, 'back').map((back) => ({ ...back, grads: withArrays(back.grads, 'edge') }));
  row.updates = completeAll(row.updates, 'update');
  for (const name of Object.keys(row.extras)) row.extras[name] = completeArray(row.extras[name]);
  return row;
}

const rows = picture.rows.map(completeRow);
const total = complete(picture.total, 'sum');
const TOP = -1; // the band index of rows outside every module

const byId = new Map(); // id -> row
const children = new Map([[TOP, []]]); // band index -> rows right inside it
const besides = new Map(); // id of an op -> inputs drawn next to it, not above it
const users = new Map(); // id -> rows that take that value

function push(map, key, item) {
  if (map.has(key)) map.get(key).push(item);
  else map.set(key, [item]);
}

const isBand = (row) => row.kind === 'band';
const isOp = (row) => row.kind === 'op';

/** A row that has a strip of its own when everything is open. */
const isRung = (row) => !isBand(row) && !row.beside;

rows.forEach((row, index) => {
  row.index = index;
  row.depth = row.band === TOP ? 0 : rows[row.band].depth + 1;
  byId.set(row.id, row);
  if (isBand(row)) children.set(index, []);
  if (row.beside) push(besides, row.beside, row);
  else children.get(row.band).push(row);
});

/** Whether a row's values flow down the forward lane. Others name where theirs come from. */
const isInChain = (row) => !isOp(row) || row.lane === 'forward';

/** Whether a backward pass reached a row, so that it has a card in the backward lane. */
const isReached = (row) => row.backs.length > 0 || (row.kind === 'loss' && row.backward_pass !== null);

/** Edges that end at a row, as {row: where the value comes from, grad: whether a gradient came back this way, name}. */
for (const row of rows) {
  const edges = row.kind === 'loss' ? [{ name: '', row: row.row, grad: true }] : row.inputs;
  const known = edges.map((edge) => ({ ...edge, row: byId.get(edge.row) })).filter((edge) => edge.row);
  row.edges = known.map((edge) => ({ ...edge, grad: edge.grad && isReached(row) && isReached(edge.row) }));
  for (const source of new Set(row.edges.map((edge) => edge.row))) push(users, source.id, row);
}

/** The bands around a row, outermost first. */
function bandsAround(row) {
  const found = [];
  for (let b = row.band; b !== TOP; b = rows[b].band) found.unshift(rows[b]);
  return found;
}

/** Whether `row` is `whole`, or inside that band. */
const isWithin = (row, whole) => row === whole || (isBand(whole) && row.index > whole.index && row.index < whole.end);

/** What a row is called in a few letters: r12 for an op, its name for anything else. */
const shortName = (row) => (isOp(row) ? `r${row.number}` : row.name);

const birthIsKnown = rows.some((row) => row.marks.some((mark) => mark.first));

/** Whether a mark tells of something gone wrong right here: an error, or the first infinity or NaN, if that is known. */
const isAlarm = (mark) => mark.kind === 'error' || mark.first || (mark.kind === 'nonfinite' && !birthIsKnown);
const alarmsOf = (row) => row.marks.filter(isAlarm);

/** Which of several backward passes: "pass 2: loss_g". */
const passName = (back) =>
  [`pass ${back.backward_pass + 1}`, picture.passes?.[back.backward_pass]].filter(Boolean).join(': ');

/** How many rows a row stands for, where equal ones are folded: " ×12". */
const timesOf = (row) => (row.times > 1 ? ` ×${row.times}` : '');

/** The rows of a band that can be seen when all its bands are open. */
const insideOf = (band) => rows.slice(band.index + 1, band.end);

const deepest = rows.reduce((most, row) => (isBand(row) ? Math.max(most, row.depth + 1) : most), 0); // how bands nest

/** Updates that one optimizer makes with the same settings, together: [{optimizer, settings, state}]. */
function updatesTogether(row) {
  const groups = new Map();
  for (const update of row.updates) push(groups, `${update.optimizer}\n${update.settings}`, update);
  return [...groups.values()].map((updates) => {
    const state = new Set(updates.flatMap((update) => update.state));
    return { ...updates[0], state: [...state] };
  });
}

/** What a closed band has to tell beside its sums. */
function digest(band) {
  const ops = insideOf(band).filter(isOp);
  const saved = ops.flatMap((op) => op.saved).filter((value) => value.counted > 0);
  const marks = ops.flatMap((op) => op.marks.map((mark) => ({ ...mark, op })));
  return {
    savedCount: saved.length,
    backCount: ops.filter((op) => op.backs.length || op.lane === 'backward').length,
    kinds: [...new Set(ops.map((op) => op.op))],
    optimizers: [...new Set(ops.flatMap((op) => op.updates.map((update) => update.optimizer)))],
    versions: [...new Set(ops.flatMap((op) => op.params.flatMap((param) => param.next ?? [])))],
    marks: [...marks.filter(isAlarm), ...marks.filter((mark) => !isAlarm(mark))],
  };
}
for (const row of rows) if (isBand(row)) row.digest = digest(row);

/** Which lanes have anything in them; the others take no room. */
const lanesUsed = new Set(['forward']);
for (const row of rows) {
  if (row.beside) lanesUsed.add('parameters');
  if (row.kind === 'loss' && row.backward_pass !== null) lanesUsed.add('backward');
  if (!isOp(row)) continue;
  if (row.params.length) lanesUsed.add('parameters');
  if (row.saved.length) lanesUsed.add('saved');
  if (row.backs.length || row.stops.length || row.lane === 'backward') lanesUsed.add('backward');
  if (row.params.some(hasGradient)) lanesUsed.add('gradients');
  if (row.updates.length || row.lane === 'update') lanesUsed.add('update');
  if (row.params.some((param) => param.next !== null)) lanesUsed.add('next');
}

/** Whether a parameter stands in the gradients' lane, be it with the reason why it has none. */
function hasGradient(param) {
  return param.grad !== null || param.stop !== '';
}
