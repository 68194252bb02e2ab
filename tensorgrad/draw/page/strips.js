// Rows as strips. A strip is one line of the picture: a rung with its cards, the title of a band, or the foot of one.
// The same seven lanes run through all of them, so a strip draws its own piece of every arrow and nothing is measured.

const cell = (lane, html, kind = '') => `<div class="${classes('cell', lane, kind)}">${html}</div>`;
const LEFT = '<div class="gutter left"></div>';
const RIGHT = '<div class="gutter right"></div>';
const PASSING = LEFT + cell('forward', '') + cell('backward', '') + RIGHT; // a strip without cards lets arrows through

function strip(row, part, level, html) {
  const place = `data-row="${row.index}" data-part="${part}"`;
  return `<div class="strip ${part}" role="row" aria-level="${level}" ${place}>${html}</div>`;
}

/** Cells in their lanes, with the classes that say which arrows to draw between them. Empty lanes give no cell. */
function cells(cards) {
  const { parameters, beside, forward, saved, backward, gradients, update, next } = cards;
  return [
    parameters || beside ? cell('parameters', (parameters ?? '') + (beside ?? ''), parameters ? '' : 'given') : '',
    LEFT,
    cell('forward', forward ?? ''),
    saved ? cell('saved', saved, backward && 'used') : '',
    cell('backward', backward ?? ''),
    RIGHT,
    gradients ? cell('gradients', gradients, backward && 'reached') : '',
    update ? cell('update', update, gradients && 'reached') : '',
    next ? cell('next', next, update && 'reached') : '',
  ].join('');
}

// -- rungs ------------------------------------------------------------------------------------------------------------

function opStrip(row) {
  const cards = {
    parameters: parametersCards(row),
    beside: each(besides.get(row.id) ?? [], (input) => inputCard(input, 'parameters')),
    saved: savedCard(row),
    backward: backwardCard(row),
    gradients: gradientsCard(row),
    update: updateCards(row),
    next: nextCard(row),
  };
  if (row.lane !== 'update' || !row.updates.length) cards[row.lane] = mainCard(row);
  return strip(row, 'op', row.depth + 1, cells(cards));
}

const inputStrip = (row) => strip(row, 'io', row.depth + 1, cells({ forward: inputCard(row, 'forward') }));

const OCTAGON =
  '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">' +
  '<polygon points="17,1 83,1 99,30 99,70 83,99 17,99 1,70 1,30"/>' +
  '<polygon points="18.5,7 81.5,7 96.5,32 96.5,68 81.5,93 18.5,93 3.5,68 3.5,32"/></svg>';

const SYMBOL = /^[\p{L}_][\p{L}\p{N}_]{0,7}$/u; // a name that is short enough to stand in a fraction

/** Where a forward graph ends, as an octagon, and where its backward pass begins, as a pill. */
function lossStrip(row) {
  const { array } = row;
  const name = breakable(row.name);
  const value = array ? line(array.number === null ? typeOf(array) : figure(array.number)) : '';
  const forward = card(row, 'forward', OCTAGON + title(name) + value, 'octagon main');
  if (row.backward_pass === null) return strip(row, 'io', row.depth + 1, cells({ forward }));
  const symbol = SYMBOL.test(row.name) && row.name !== 'loss' ? name : 'L';
  const backward = card(row, 'backward', `<b>∂${symbol}/∂${symbol}</b> = ${escapeHtml(row.seed)}`, 'pill');
  return strip(row, 'loss', row.depth + 1, cells({ forward, backward }));
}

// -- bands ------------------------------------------------------------------------------------------------------------

/** What stands at the left of a band's title: the class of a module only where it says more than its name. */
function bandLabel(band) {
  const times = band.times > 1 ? ` <b>×${band.times}</b>` : '';
  const call = band.calls > 1 ? ` · call ${band.call} of ${band.calls}` : '';
  const module = (band.module && band.module !== band.name ? `: ${escapeHtml(band.module)}` : '') + call;
  return `<b>${breakable(band.name)}</b><span class="module">${module}</span>${times}`;
}

/** What stands at the right of it. */
function bandSummary(band) {
  const { sum } = band;
  const parts = [
    sum.parameters ? counted(sum.parameters, 'parameter') : '',
    sum.ms ? timeText(allOf(sum.ms)) : '',
    sum.saved_bytes ? `◊ ${bytes(sum.saved_bytes)}` : '',
  ];
  return parts.filter(Boolean).join(' · ');
}

const MOST_KINDS = 3; // primitives that a closed band names
const MOST_MARKS = 2; // marks in one lane of a closed band

function kindsText({ kinds }) {
  return kinds.slice(0, MOST_KINDS).join(', ') + (kinds.length > MOST_KINDS ? ', …' : '');
}

/** The one rung that a closed band shows, in stacked cards. */
function closedStrip(band) {
  const { sum, digest } = band;
  const cards = {};
  const add = (lane, heading, lines, kind = '') => {
    const marks = digest.marks.filter((mark) => mark.lane === lane);
    const shown = each(marks.slice(0, MOST_MARKS), (mark) =>
      markLine({ ...mark, text: `${mark.text} at ${shortName(mark.op)}` }),
    );
    cards[lane] = card(
      band,
      lane,
      title(heading) + lines + shown + measureHtml(band, lane),
      classes(kind, alarmOf(marks)),
    );
  };
  const ops = (n) => (sum.ops === 1 ? breakable(digest.kinds[0]) : counted(n, 'op')) + timesOf(band);
  const tensors = line(counted(sum.tensors, 'tensor'));
  const kinds = sum.ops === 1 ? '' : line(escapeHtml(kindsText(digest)));

  if (sum.parameters) add('parameters', 'parameters', line(integer(sum.parameters)) + tensors);
  add('forward', ops(sum.ops), kinds + (band.out ? line(typeOf(band.out)) : ''), 'main');
  if (digest.savedCount) add('saved', `◊ ${digest.savedCount} saved`, line(bytes(sum.saved_bytes)));
  if (digest.backCount) add('backward', `∂ ${ops(digest.backCount)}`, '');
  if (sum.gradient !== null) add('gradients', 'gradients', line(`${norm(sum.gradient)} all`));
  if (digest.optimizers.length) add('update', each(digest.optimizers, breakable, ', '), '');
  if (digest.versions.length) add('next', digest.versions.length === 1 ? `v${digest.versions[0]}` : 'next', tensors);
  return strip(band, 'sum', band.depth + 2, cells(cards));
}

function bandHtml(band) {
  const path = escapeHtml(band.path || band.name);
  const name =
    `<button class="name" data-row="${band.index}" tabindex="-1" title="${path}">` +
    `<span class="twist" aria-hidden="true"></span>${bandLabel(band)}</button>`;
  const head =
    `<div class="heading" role="rowheader">${name}</div>${PASSING}` +
    `<div class="summary">${bandSummary(band)}<em class="matches" hidden></em></div>`;
  const kind = classes('band', band.depth % 2 && 'odd', band.role, 'closed');
  return (
    `<section class="${kind}" style="--inset:${4 + band.depth * 6}px">` +
    strip(band, 'head', band.depth + 1, head) +
    closedStrip(band) +
    '<div class="body"></div>' +
    `<div class="strip foot" data-row="${band.index}" data-part="foot" aria-hidden="true">${PASSING}</div></section>`
  );
}

/** A row in the picture; a band's body is filled when it is first opened. */
function rowHtml(row) {
  if (isBand(row)) return bandHtml(row);
  if (isOp(row)) return opStrip(row);
  return row.kind === 'loss' ? lossStrip(row) : inputStrip(row);
}
