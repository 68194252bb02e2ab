// The cards of one op, lane by lane, as HTML.

const line = (html, kind = '') => `<span class="line${kind && ` ${kind}`}">${html}</span>`;
const named = (name, rest) => line(`<b>${breakable(name)}</b> ${rest}`);
const title = (html) => `<b class="title">${html}</b>`;
const classes = (...names) => names.filter(Boolean).join(' ');

function card(row, lane, html, kind = '') {
  const place = `data-row="${row.index}" data-lane="${lane}"`;
  return `<div class="${classes('card', kind)}" ${place} role="gridcell" tabindex="-1">${html}</div>`;
}

/** A reference to another row in the running text of a card. */
const reference = (id) => (byId.has(id) ? escapeHtml(shortName(byId.get(id))) : '');

const numberHtml = (row) => `<span class="number">r${row.number}</span>`;

// -- marks ------------------------------------------------------------------------------------------------------------

const GLYPHS = { error: '▲', nonfinite: '▲', stop: '■' };

const markText = (mark) => `${GLYPHS[mark.kind]} ${escapeHtml(mark.text)}`;
const markLine = (mark) => line(markText(mark), `mark ${mark.kind}`);
const stopLine = (text) => markLine({ kind: 'stop', text });
const finiteLine = (nonfinite) => (nonfinite ? markLine({ kind: 'nonfinite', text: 'holds infinities or NaN' }) : '');

const marksIn = (row, lane) => row.marks.filter((mark) => mark.lane === lane);
const marksHtml = (row, lane) => each(marksIn(row, lane), markLine);

/** The class of a card whose marks tell of something gone wrong. */
const alarmOf = (marks) => (marks.some(isAlarm) ? 'alarming' : '');

// -- parameters and inputs --------------------------------------------------------------------------------------------


/** What the op takes that is there from step to step: parameters, and state such as running averages, a card for each. */
function parametersCards(row) {
  const groups = new Map();
  for (const param of row.params) push(groups, param.role, param);
  return each(groups, ([role, params]) => {
    const oneVersion = new Set(params.map((param) => param.version)).size === 1;
    const lines = each(params, (param) => {
      const notes = [
        shapeOf(param.array) + valueOf(param.array),
        oneVersion ? '' : `v${param.version}`,
        param.shared ? `shared with ${reference(param.shared)}` : '',
      ];
      return named(param.name, notes.filter(Boolean).join(' · '));
    });
    const heading = role === 'parameter' && params.length > 1 ? 'parameters' : role;
    return card(row, 'parameters', title(heading + (oneVersion ? ` v${params[0].version}` : '')) + lines);
  });
}

/** An input as a parallelogram: in the forward lane, or beside the op that takes it. */
function inputCard(row, lane) {
  const { array } = row;
  const text = title(breakable(row.name)) + (array ? line(typeOf(array)) + finiteLine(array.nonfinite) : '');
  return card(row, lane, text, classes('input', lane === 'forward' && 'main'));
}

// -- the op itself ----------------------------------------------------------------------------------------------------

/** What an op was given, for one that failed and has no output. */
const givenHtml = (row) => each([...row.inputs, ...row.params], (given) => named(given.name, typeOf(given.array)));

/** Where the values of an op outside the forward lane come from: no arrow leads there. */
const originsHtml = (row) =>
  isInChain(row) || !row.edges.length
    ? ''
    : line(`from ${each(row.edges, (edge) => escapeHtml(shortName(edge.row)), ', ')}`);

/** The card of the op. It stands in another lane where the op is part of a backward pass or an update that no rung owns. */
function mainCard(row) {
  const lines = [
    numberHtml(row),
    row.name && row.name !== row.op ? line(breakable(row.name)) : '',
    row.attributes ? line(settings(row.attributes)) : '',
    each(row.numbers, (number) => line(escapeHtml(number))),
    row.out ? line(typeOf(row.out)) : givenHtml(row),
    originsHtml(row),
    marksHtml(row, row.lane),
    measureHtml(row, row.lane),
  ];
  const text = title(breakable(row.op) + timesOf(row)) + lines.join('');
  return card(row, row.lane, text, classes('main', alarmOf(marksIn(row, row.lane))));
}

// -- what is kept, and the way back -----------------------------------------------------------------------------------

/** What a saved value costs, or why it costs nothing more. */
function savedNote(value) {
  if (value.role === 'parameter') return 'parameter';
  if (value.shares) return `kept by ${reference(value.shares)}`;
  return bytes(value.bytes) + (value.made_by ? `, from ${reference(value.made_by)}` : '');
}

function savedCard(row) {
  const { saved } = row;
  if (!saved.length) return '';
  const names = each(new Set(saved.map((value) => value.name)), breakable, ', ');
  const notes =
    saved.length === 1 ? line(savedNote(saved[0])) : each(saved, (value) => named(value.name, savedNote(value)));
  return card(row, 'saved', title(`◊ ${names}`) + notes + measureHtml(row, 'saved'));
}

/** One backward pass of an op: the gradients that go on to other rungs. Those of parameters stand in their own lane. */
function backHtml(back) {
  const passedOn = back.grads.filter((edge) => edge.row);
  const ends = new Set([back.rows[0], back.rows.at(-1)]);
  return (
    each(passedOn, (edge) => line(`∂${breakable(edge.name)} ${shapeOf(edge.array)}`)) +
    (back.rows.length ? line(`shown as ${each(ends, reference, ' to ')}`) : '')
  );
}

/** What the backward pass did here; where none came, only the reason, if there is one. */
function backwardCard(row) {
  const { backs } = row;
  const stops = each(row.stops, stopLine);
  if (!backs.length) return stops && card(row, 'backward', stops, 'stopped');
  const heading = (back) => (backs.length > 1 ? line(`<b>${escapeHtml(passName(back))}</b>`) : '');
  const text =
    title(`∂ ${breakable(row.op)}${timesOf(row)}`) +
    marksHtml(row, 'backward') +
    each(backs, (back) => heading(back) + backHtml(back)) +
    stops +
    measureHtml(row, 'backward');
  return card(row, 'backward', text, alarmOf(marksIn(row, 'backward')));
}

// -- gradients, update and next version -------------------------------------------------------------------------------

/** A gradient: its value where it is one number, else its norm. Of one that is not finite, only that is told. */
function gradientHtml(param) {
  const { grad, grad_number: number } = param;
  const amount = number === null ? grad !== null && norm(grad) : `= ${figure(number)}`;
  const known = amount && !param.grad_nonfinite ? amount : '';
  return named(`∂${param.name}`, known) + (param.stop ? stopLine(param.stop) : '') + finiteLine(param.grad_nonfinite);
}

function gradientsCard(row) {
  const params = row.params.filter(hasGradient);
  if (!params.length) return '';
  const lines = each(params, gradientHtml);
  const text = title(params.length === 1 ? 'gradient' : 'gradients') + lines + marksHtml(row, 'gradients');
  return card(row, 'gradients', text, alarmOf(marksIn(row, 'gradients')));
}

function updateCards(row) {
  const updates = updatesTogether(row);
  const isMain = row.lane === 'update';
  const rest = marksHtml(row, 'update') + measureHtml(row, 'update'); // of all updates of the row, on the first card
  return each(updates, (update) => {
    const kept = new Set(update.state.map((text) => text.split(' ')[0]));
    const lines = [
      isMain ? numberHtml(row) : '',
      update.settings ? line(settings(update.settings)) : '',
      kept.size ? line(`keeps ${each(kept, breakable, ', ')}`) : '',
      update === updates[0] ? rest : '',
    ];
    const text = title(breakable(update.optimizer)) + lines.join('');
    return card(row, 'update', text, classes(isMain && 'main', alarmOf(marksIn(row, 'update'))));
  });
}

function nextCard(row) {
  const params = row.params.filter((param) => param.next !== null);
  if (!params.length) return '';
  const oneVersion = new Set(params.map((param) => param.next)).size === 1;
  const lines = each(params, (param) => named(param.name, oneVersion ? '' : `v${param.next}`));
  return card(row, 'next', title(oneVersion ? `v${params[0].next}` : 'next') + lines);
}
