// Rows as HTML. A strip is one line of the picture: a rung with its cards, the title of a band, or the foot of one.
// The same seven lanes run through all of them, so a strip draws its own piece of every arrow and nothing is measured.

const line = (html, kind = '') => `<span class="line${kind && ` ${kind}`}">${html}</span>`;
const named = (name, rest) => line(`<b>${breakable(name)}</b> ${rest}`);
const title = (html) => `<b class="title">${html}</b>`;
const cell = (lane, html, kind = '') => `<div class="cell ${lane}${kind && ` ${kind}`}">${html}</div>`;
const gutters = { left: '<div class="gutter left"></div>', right: '<div class="gutter right"></div>' };

const card = (row, lane, html, kind = '') =>
  `<div class="card${kind && ` ${kind}`}" data-row="${row.index}" data-lane="${lane}" role="gridcell" tabindex="-1">${html}</div>`;

const strip = (row, part, level, html) =>
  `<div class="strip ${part}" role="row" aria-level="${level}" data-row="${row.index}" data-part="${part}">${html}</div>`;

const GLYPHS = { error: '▲', nonfinite: '▲', stop: '■' };

const markLine = (mark, where = '') => line(`${GLYPHS[mark.kind] ?? '■'} ${escape(mark.text)}${where}`, `mark ${mark.kind}`);

const marksIn = (row, lane) => row.marks.filter((mark) => mark.lane === lane);
const marksHtml = (row, lane) => marksIn(row, lane).map((mark) => markLine(mark)).join('');
const markedKind = (marks) => (marks.some(isAlarm) ? 'alarming' : '');

const NOT_FINITE = 'holds infinities or NaN';
const finiteHtml = (nonfinite) => (nonfinite ? markLine({ kind: 'nonfinite', text: NOT_FINITE }) : '');

/** A reference to another row in the running text of a card. */
const reference = (id) => (byId.has(id) ? escape(shortName(byId.get(id))) : '');

// -- the cards of an op, lane by lane ---------------------------------------------------------------------------------

const PARAMETER_TITLES = { parameter: 'parameters', frozen: 'frozen', state: 'state' };

function parametersCard(row) {
  const params = row.params;
  if (!params.length) return '';
  const roles = new Set(params.map((param) => param.role)), versions = new Set(params.map((param) => param.version));
  const heading = roles.size === 1 ? PARAMETER_TITLES[params[0].role] : 'parameters';
  const lines = params.map((param) => {
    const notes = [versions.size > 1 ? `v${param.version}` : '', roles.size > 1 && param.role !== 'parameter' ? param.role : ''];
    if (param.shared) notes.push(`shared with ${reference(param.shared)}`);
    return named(param.name, [shapeOf(param.array), ...notes.filter(Boolean)].join(' · '));
  });
  return card(row, 'parameters', title(heading + (versions.size === 1 ? ` v${params[0].version}` : '')) + lines.join(''));
}

/** An input as a parallelogram. */
const inputCard = (row, lane) =>
  card(row, lane, title(breakable(row.name)) + (row.array ? line(typeOf(row.array)) + finiteHtml(row.array.nonfinite) : ''), 'input');

/** What an op was given, for one that failed and has no output. */
const givenHtml = (row) => [...row.inputs, ...row.params].map((given) => named(given.name, typeOf(given.array))).join('');

function forwardCard(row) {
  const marks = marksIn(row, row.lane);
  const lines = [
    `<span class="number">r${row.number}</span>`,
    row.name && row.name !== row.op ? line(breakable(row.name)) : '',
    row.attributes ? line(settings(row.attributes)) : '',
    ...row.numbers.map((number) => line(escape(number))),
    row.out ? line(typeOf(row.out)) : givenHtml(row),
    marksHtml(row, row.lane),
    measureHtml(row, row.lane),
  ];
  return card(row, row.lane, title(breakable(row.op) + timesOf(row)) + lines.join(''), markedKind(marks));
}

/** What a saved value costs, or why it costs nothing more. */
function savedNote(value) {
  if (value.role === 'parameter') return 'parameter';
  if (value.shares) return `kept by ${reference(value.shares)}`;
  return bytes(value.bytes) + (value.made_by ? `, from ${reference(value.made_by)}` : '');
}

function savedCard(row) {
  if (!row.saved.length) return '';
  const notes = row.saved.map((value) => (row.saved.length === 1 ? line(savedNote(value)) : named(value.name, savedNote(value))));
  const names = [...new Set(row.saved.map((value) => value.name))];
  return card(row, 'saved', title(`◊ ${names.map(breakable).join(', ')}`) + notes.join('') + measureHtml(row, 'saved'));
}

const stopsHtml = (row) => row.stops.map((text) => markLine({ kind: 'stop', text })).join('');

/** What the backward pass did here; where none came, only the reason, if there is one. */
function backwardCard(row) {
  const backs = row.backs, stops = stopsHtml(row);
  if (!backs.length) return stops && card(row, 'backward', stops, 'stopped');
  const lines = backs.map((back) => {
    const heading = backs.length > 1 ? line(`<b>${escape(passName(back))}</b>`) : '';
    const gradients = back.grads.filter((edge) => edge.row).map((edge) => line(`∂${breakable(edge.name)} ${shapeOf(edge.array)}`));
    const shown = back.rows.length ? line(`shown as ${[...new Set([back.rows[0], back.rows[back.rows.length - 1]])].map(reference).join(' to ')}`) : '';
    return heading + gradients.join('') + shown;
  });
  const text = title(`∂ ${breakable(row.op)}${timesOf(row)}`) + marksHtml(row, 'backward') + lines.join('') + stops;
  return card(row, 'backward', text + measureHtml(row, 'backward'), markedKind(marksIn(row, 'backward')));
}

function gradientsCard(row) {
  const params = row.params.filter(hasGradient);
  if (!params.length) return '';
  const lines = params.map((param) => {
    const figures = param.grad === null ? '' : norm(param.grad);
    const stop = param.stop ? markLine({ kind: 'stop', text: param.stop }) : '';
    return named(`∂${param.name}`, figures) + stop + finiteHtml(param.grad_nonfinite);
  });
  return card(row, 'gradients', title('gradients') + lines.join('') + marksHtml(row, 'gradients'), markedKind(marksIn(row, 'gradients')));
}

function updateCards(row) {
  const updates = updatesTogether(row), marks = marksIn(row, 'update');
  return updates
    .map(({ optimizer, settings: words, state }, k) => {
      const kept = [...new Set(state.map((text) => text.split(' ')[0]))];
      const lines = [words ? line(settings(words)) : '', kept.length ? line(`keeps ${escape(kept.join(', '))}`) : ''];
      if (k === updates.length - 1) lines.push(marksHtml(row, 'update') + measureHtml(row, 'update'));
      return card(row, 'update', title(breakable(optimizer)) + lines.join(''), markedKind(marks));
    })
    .join('');
}

function nextCard(row) {
  const params = row.params.filter((param) => param.next !== null);
  if (!params.length) return '';
  const versions = new Set(params.map((param) => param.next));
  const lines = params.map((param) => named(param.name, versions.size > 1 ? `v${param.next}` : ''));
  return card(row, 'next', title(versions.size === 1 ? `v${params[0].next}` : 'next') + lines.join(''));
}

// -- strips -----------------------------------------------------------------------------------------------------------

/** Cells in their lanes, with the classes that say which arrows to draw between them. Empty lanes give no cell. */
function cells(cards, backwardToo = true) {
  const { parameters = '', beside = '', forward = '', saved = '', backward = '', gradients = '', update = '', next = '' } = cards;
  return [
    parameters || beside ? cell('parameters', parameters + beside, parameters ? '' : 'given') : '',
    gutters.left,
    cell('forward', forward),
    saved ? cell('saved', saved, backward ? 'used' : '') : '',
    cell('backward', backward),
    gutters.right,
    gradients ? cell('gradients', gradients, backward ? 'reached' : '') : '',
    update ? cell('update', update, gradients ? 'reached' : '') : '',
    next ? cell('next', next, update ? 'reached' : '') : '',
  ].join('');
}

function opStrip(row) {
  const cards = {
    parameters: parametersCard(row),
    beside: (besides.get(row.id) ?? []).map((input) => inputCard(input, 'parameters')).join(''),
    saved: savedCard(row),
    backward: backwardCard(row),
    gradients: gradientsCard(row),
    update: updateCards(row),
    next: nextCard(row),
  };
  cards[row.lane] = forwardCard(row) + (row.lane === 'forward' ? '' : cards[row.lane]);
  return strip(row, 'op', row.depth + 1, cells(cards));
}

const inputStrip = (row) => strip(row, 'io', row.depth + 1, cells({ forward: inputCard(row, 'forward') }));

const OCTAGON =
  '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">' +
  '<polygon points="17,1 83,1 99,30 99,70 83,99 17,99 1,70 1,30"/>' +
  '<polygon points="18.5,7 81.5,7 96.5,32 96.5,68 81.5,93 18.5,93 3.5,68 3.5,32"/></svg>';

/** Where a forward graph ends, as an octagon, and where its backward pass begins, as a pill. */
function lossStrip(row) {
  const { array } = row;
  const value = array ? line(array.number === null ? typeOf(array) : figure(array.number)) : '';
  const name = breakable(row.name);
  const end = card(row, 'forward', `${OCTAGON}${title(name)}${value}`, 'octagon');
  const seed = row.backward_pass === null ? '' : card(row, 'backward', `<b>∂${name}/∂${name}</b> = ${escape(row.seed)}`, 'pill');
  return strip(row, seed ? 'loss' : 'io', row.depth + 1, cells({ forward: end, backward: seed }));
}

const PASSING = `${gutters.left}${cell('forward', '')}${cell('backward', '')}${gutters.right}`;

/** The words behind a band's name. */
function bandLabel(band) {
  const call = band.calls > 1 ? ` <span class="module">· call ${band.call} of ${band.calls}</span>` : '';
  const module = band.module ? `<span class="module">: ${escape(band.module)}</span>` : '';
  return `<b>${breakable(band.name)}</b>${module}${timesOf(band) && `<b>${timesOf(band)}</b>`}${call}`;
}

function bandSummary(band) {
  const { sum } = band, ms = sum.ms ? sum.ms.forward + sum.ms.backward + sum.ms.update : 0;
  const parts = [
    sum.parameters ? counted(sum.parameters, 'parameter') : '',
    totalMs ? `${duration(ms)} · ${percent(ms / totalMs)}` : '',
    sum.saved_bytes ? `◊ ${bytes(sum.saved_bytes)}` : '',
  ];
  return parts.filter(Boolean).join(' · ');
}

const MOST_KINDS = 3; // primitives that a closed band names

/** The one rung that a closed band shows, in stacked cards. */
function closedStrip(band) {
  const { sum, digest } = band, cards = {};
  const marks = digest.marks.map((mark) => [mark, ` at ${shortName(mark.op)}`]);
  const marksHere = (lane) =>
    marks.filter(([mark]) => mark.lane === lane).slice(0, 2).map(([mark, where]) => markLine(mark, where)).join('');
  const versions = digest.versions.length === 1 ? `v${digest.versions[0]}` : 'next';
  const ops = (n, sign = '') => title(`${sign}${sum.ops === 1 ? breakable(digest.kinds[0]) : counted(n, 'op')}${timesOf(band)}`);
  if (sum.parameters) {
    cards.parameters = card(band, 'parameters', title('parameters') + line(integer(sum.parameters)) + line(counted(sum.tensors, 'tensor')));
  }
  const kinds = sum.ops === 1 ? '' : line(escape(digest.kinds.slice(0, MOST_KINDS).join(', ') + (digest.kinds.length > MOST_KINDS ? ', …' : '')));
  const out = kinds + (band.out ? line(typeOf(band.out)) : '');
  const alarm = (lane) => markedKind(digest.marks.filter((mark) => mark.lane === lane));
  cards.forward = card(band, 'forward', ops(sum.ops) + out + marksHere('forward') + measureHtml(band, 'forward'), alarm('forward'));
  if (digest.savedCount) {
    cards.saved = card(band, 'saved', title(`◊ ${digest.savedCount} saved`) + line(bytes(sum.saved_bytes)) + measureHtml(band, 'saved'));
  }
  if (digest.backCount) {
    const text = ops(digest.backCount, '∂ ') + marksHere('backward') + measureHtml(band, 'backward');
    cards.backward = card(band, 'backward', text, alarm('backward'));
  }
  if (sum.gradient !== null) cards.gradients = card(band, 'gradients', title('gradients') + line(`${norm(sum.gradient)} all`));
  if (digest.optimizers.length) {
    cards.update = card(band, 'update', title(digest.optimizers.map(breakable).join(', ')) + measureHtml(band, 'update'));
  }
  if (digest.versions.length) cards.next = card(band, 'next', title(versions) + line(counted(sum.tensors, 'tensor')));
  return strip(band, 'sum', band.depth + 2, cells(cards));
}

function bandHtml(band) {
  const button =
    `<button class="name" data-row="${band.index}" tabindex="-1" title="${escape(band.path)}">` +
    `<span class="twist" aria-hidden="true"></span>${bandLabel(band)}</button>`;
  const head = `<div class="summary">${bandSummary(band)}<em class="matches" hidden></em></div>`;
  return (
    `<section class="band${band.depth % 2 ? ' odd' : ''} ${band.role} closed" style="--inset:${4 + band.depth * 6}px">` +
    strip(band, 'head', band.depth + 1, `<div class="heading" role="rowheader">${button}</div>${PASSING}${head}`) +
    closedStrip(band) +
    '<div class="body"></div>' +
    `<div class="strip foot" data-row="${band.index}" data-part="foot" aria-hidden="true">${PASSING}</div></section>`
  );
}

/** A row in the picture; a band's body is filled when it is first opened. */
function rowHtml(row) {
  if (isBand(row)) return bandHtml(row);
  return isOp(row) ? opStrip(row) : row.kind === 'loss' ? lossStrip(row) : inputStrip(row);
}
