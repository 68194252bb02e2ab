// The panel at the side: everything known about the row under the pointer or selected, else the step as a whole.

const MOST_LISTED = 8;

const section = (heading, html) => (html ? `<h3>${heading}</h3>${html}` : '');
const list = (items) => (items.length ? `<ul>${each(items, (item) => `<li>${item}</li>`)}</ul>` : '');
const lines = (...parts) => parts.filter(Boolean).join('<br>');
const soft = (html) => `<span class="soft">${html}</span>`;
const fact = (name, html) => (html ? `<dt>${name}</dt><dd>${html}</dd>` : '');
const exactly = (n) => (n > 999 ? `${bytes(n)} ${soft(`(${integer(n)})`)}` : bytes(n));

/** A button that leads to a row. */
function link(row) {
  const where = isOp(row) && row.band !== TOP ? ` ${soft(escapeHtml(rows[row.band].path))}` : '';
  const label = isOp(row) ? `${shortName(row)} ${breakable(row.op)}` : breakable(row.name);
  return `<button class="link" data-go="${row.index}">${label}${where}</button>`;
}

const more = (n) => (n > MOST_LISTED ? soft(`and ${integer(n - MOST_LISTED)} more`) : '');
const links = (found) => each(found.slice(0, MOST_LISTED), link) + more(found.length);
const marksList = (row) => each(row.marks, (mark) => `<p class="mark ${mark.kind}">${markText(mark)}</p>`);

// -- an op ------------------------------------------------------------------------------------------------------------

function timeFacts({ ms }) {
  return ms ? each(PHASES, (phase) => fact(phase, ms[phase] ? timeText(ms[phase]) : '')) : '';
}

function flopFacts(sum) {
  const phases = PHASES.filter((phase) => sum.flops[phase]);
  return fact(
    'FLOPs',
    each(phases, (phase) => `${flops(sum.flops[phase])} ${phase}`, '<br>'),
  );
}

function sourceHtml(row) {
  if (!row.source) return '';
  const [file, number] = row.source;
  const text = picture.source?.[file]?.[number];
  return (text ? `<code>${escapeHtml(text)}</code>` : '') + `<div class="soft">${escapeHtml(file)}:${number}</div>`;
}

function backItem(back) {
  const pass = picture.passes?.length > 1 ? `<b>${escapeHtml(passName(back))}</b> ` : '';
  const gradients = each(back.grads, (edge) => `∂${escapeHtml(edge.name)} ${shapeOf(edge.array)}`, ', ');
  const ran = each(new Set(back.ops), escapeHtml, ', ');
  const shown = links(back.rows.map((id) => byId.get(id)));
  return lines(pass + (gradients || 'no gradient asked for'), ran && soft(`ran ${ran}`), shown);
}

function savedItem(value) {
  const shares = byId.get(value.shares);
  const maker = byId.get(value.made_by);
  return lines(
    `◊ <b>${escapeHtml(value.name)}</b> ${typeOf(value.array)} · ${bytes(value.bytes)}`,
    value.role === 'parameter' ? 'a parameter, not counted' : '',
    shares ? `same memory as kept by ${link(shares)}` : '',
    maker && maker !== shares ? `made by ${link(maker)}` : '',
    value.inputs.length ? `for ${each(value.inputs, (name) => `∂${escapeHtml(name)}`, ', ')}` : '',
  );
}

function parameterItem(param) {
  const notes = [
    param.next === null ? `v${param.version}` : `v${param.version} → v${param.next}`,
    param.role === 'parameter' ? '' : param.role,
    param.grad === null ? '' : norm(param.grad),
    param.stop ? `■ ${escapeHtml(param.stop)}` : '',
  ];
  return lines(
    `<b>${breakable(param.path)}</b> ${typeOf(param.array)}`,
    notes.filter(Boolean).join(' · '),
    byId.has(param.shared) ? `shared with ${link(byId.get(param.shared))}` : '',
  );
}

const updateItem = (update) =>
  lines(`<b>${escapeHtml(update.optimizer)}</b> ${settings(update.settings)}`, ...update.state.map(escapeHtml));

function inputsHtml(row) {
  const items = row.edges.map((edge) => `${escapeHtml(edge.name)} ${typeOf(edge.array)} ${link(edge.row)}`);
  return list(items.slice(0, MOST_LISTED)) + more(items.length);
}

function opDetails(row) {
  const extras = Object.entries(row.extras).map(([name, array]) => `${escapeHtml(name)} ${typeOf(array)}`);
  const stops = each(row.stops, (text) => `<p class="mark stop">■ ${escapeHtml(text)}</p>`);
  return [
    `<h2>${soft(shortName(row))} ${breakable(row.op)}${timesOf(row)}</h2>`,
    `<p class="soft">${each(bandsAround(row), (band) => escapeHtml(band.name), ' › ') || 'outside every module'}</p>`,
    marksList(row),
    sourceHtml(row),
    '<dl>',
    fact('output', row.out ? typeOf(row.out) : ''),
    fact('bytes', row.sum.out_bytes ? exactly(row.sum.out_bytes) : ''),
    fact('also', extras.join('<br>')),
    fact('settings', settings(row.attributes)),
    fact('numbers', each(row.numbers, escapeHtml, '<br>')),
    timeFacts(row.sum),
    flopFacts(row.sum),
    '</dl>',
    section('Backward', list(row.backs.map(backItem)) + stops),
    section('Saved for backward', list(row.saved.map(savedItem))),
    section('Parameters', list(row.params.map(parameterItem))),
    section('Update', list(updatesTogether(row).map(updateItem))),
    section('Inputs', inputsHtml(row)),
    section('Used by', links(users.get(row.id) ?? [])),
  ].join('');
}

// -- a module, an input, a loss ---------------------------------------------------------------------------------------

function bandDetails(band) {
  const { sum } = band;
  const marks = band.digest.marks.slice(0, MOST_LISTED);
  return [
    `<h2>${breakable(band.path || band.name)}${timesOf(band)}</h2>`,
    `<p class="soft">${escapeHtml(band.module || band.role)}</p>`,
    each(marks, (mark) => `<p class="mark ${mark.kind}">${markText(mark)}</p>${link(mark.op)}`),
    '<dl>',
    fact('holds', counted(sum.ops, 'op')),
    fact('output', band.out ? typeOf(band.out) : ''),
    fact('parameters', sum.parameters ? `${integer(sum.parameters)} in ${counted(sum.tensors, 'tensor')}` : ''),
    fact('saved', sum.saved_bytes ? exactly(sum.saved_bytes) : ''),
    fact('gradient', sum.gradient === null ? '' : norm(sum.gradient)),
    timeFacts(sum),
    flopFacts(sum),
    '</dl>',
    `<button class="link" data-toggle="${band.index}">${openBands[band.index] ? 'Close' : 'Open'}</button>`,
  ].join('');
}

const INPUT_ROLES = { input: 'given to the step', constant: 'a constant' };

function endDetails(row) {
  const end = row.backward_pass === null ? 'an output' : 'where a backward pass begins';
  return [
    `<h2>${breakable(row.name)}</h2>`,
    `<p class="soft">${row.kind === 'input' ? (INPUT_ROLES[row.role] ?? escapeHtml(row.role)) : end}</p>`,
    `<dl>${fact('value', row.array ? typeOf(row.array) : '')}${fact('begins with', escapeHtml(row.seed ?? ''))}</dl>`,
    section('From', links(row.edges.map((edge) => edge.row))),
    section('Used by', links(users.get(row.id) ?? [])),
  ].join('');
}

// -- the step as a whole ----------------------------------------------------------------------------------------------

const ADVICE =
  'Point at a card to see what is known about it. Click it, or press Enter, to keep it here and to light up ' +
  'its backward partner, what it saves, its inputs and outputs. Esc lets go.';

/** The ops that take most of what is measured, in all lanes together. */
function ranking() {
  const amounts = rows.filter(isOp).map((row) => ({ row, amount: amountOf(row) }));
  const ranked = amounts
    .filter(({ amount }) => amount > 0)
    .sort((a, b) => b.amount - a.amount || a.row.index - b.row.index);
  const { text, whole } = MEASURES[measure];
  return each(ranked.slice(0, MOST_LISTED), ({ row, amount }) => {
    const share = amount / whole;
    const bar = `<span class="bar ${heatOf(share)}" style="--length:${round5(amount / ranked[0].amount)}"></span>`;
    return `<li>${link(row)}<span class="amount">${text(amount)} · ${percent(share)}</span>${bar}</li>`;
  });
}

function overview() {
  const alarms = rows.filter((row) => alarmsOf(row).length).slice(0, MOST_LISTED);
  const most = ranking();
  return [
    `<h2>The step</h2><p class="soft">${ADVICE}</p>`,
    section(
      'Look here',
      each(alarms, (row) => marksList(row) + link(row)),
    ),
    section(`Most ${MEASURES[measure].name}`, most && `<ol class="ranking">${most}</ol>`),
  ].join('');
}

/** Show what is known about a row; about the whole step for null. */
function showDetails(row) {
  const detailsOf = () => (isBand(row) ? bandDetails(row) : isOp(row) ? opDetails(row) : endDetails(row));
  byElementId('details').innerHTML = row === null ? overview() : detailsOf();
}
