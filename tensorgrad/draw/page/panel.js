// The panel at the side: everything known about the row under the pointer or selected, else the step as a whole.

const MOST_LISTED = 8;

const section = (heading, html) => (html ? `<h3>${heading}</h3>${html}` : '');
const fact = (name, html) => (html ? `<dt>${name}</dt><dd>${html}</dd>` : '');
const timed = (ms) => (totalMs ? `${duration(ms)} · ${percent(ms / totalMs)}` : duration(ms));
const exactly = (n) => (n > 999 ? `${bytes(n)} <span class="soft">(${integer(n)})</span>` : bytes(n));

/** A button that leads to a row. */
function link(row) {
  const where = isOp(row) && row.band !== TOP ? ` <span class="soft">${escape(rows[row.band].path)}</span>` : '';
  const label = isOp(row) ? `${shortName(row)} ${breakable(row.op)}` : breakable(row.name);
  return `<button class="link" data-go="${row.index}">${label}${where}</button>`;
}

const more = (n) => (n > MOST_LISTED ? `<span class="soft">and ${integer(n - MOST_LISTED)} more</span>` : '');
const links = (found) => found.slice(0, MOST_LISTED).map(link).join('') + more(found.length);

function timeFacts(sum) {
  const { ms } = sum;
  if (!ms) return '';
  return ['forward', 'backward', 'update'].map((phase) => fact(phase, ms[phase] ? timed(ms[phase]) : '')).join('');
}

function flopFacts(sum) {
  const parts = ['forward', 'backward', 'update'].filter((phase) => sum.flops[phase]).map((phase) => `${flops(sum.flops[phase])} ${phase}`);
  return fact('FLOPs', parts.join('<br>'));
}

function sourceHtml(row) {
  if (!row.source) return '';
  const [file, number] = row.source, text = picture.source?.[file]?.[number];
  return (text ? `<code>${escape(text)}</code>` : '') + `<div class="soft">${escape(file)}:${number}</div>`;
}

const marksList = (row) => row.marks.map((mark) => `<p class="mark ${mark.kind}">${GLYPHS[mark.kind] ?? '■'} ${escape(mark.text)}</p>`).join('');

function savedHtml(row) {
  const items = row.saved.map((value) => {
    const notes = [];
    if (value.role === 'parameter') notes.push('a parameter, not counted');
    else if (byId.has(value.shares)) notes.push(`same memory as kept by ${link(byId.get(value.shares))}`);
    if (byId.has(value.made_by) && value.made_by !== value.shares) notes.push(`made by ${link(byId.get(value.made_by))}`);
    if (value.inputs.length) notes.push(`for ${value.inputs.map((name) => `∂${escape(name)}`).join(', ')}`);
    return `<li>◊ <b>${escape(value.name)}</b> ${typeOf(value.array)} · ${bytes(value.bytes)}${notes.map((note) => `<br>${note}`).join('')}</li>`;
  });
  return section('Saved for backward', items.length ? `<ul>${items.join('')}</ul>` : '');
}

function parametersHtml(row) {
  const items = row.params.map((param) => {
    const version = param.next === null ? `v${param.version}` : `v${param.version} → v${param.next}`;
    const notes = [version, param.role === 'parameter' ? '' : param.role, param.grad === null ? '' : norm(param.grad), param.stop ? `■ ${escape(param.stop)}` : ''];
    const shared = byId.has(param.shared) ? `<br>shared with ${link(byId.get(param.shared))}` : '';
    return `<li><b>${breakable(param.path)}</b> ${typeOf(param.array)}<br>${notes.filter(Boolean).join(' · ')}${shared}</li>`;
  });
  return section('Parameters', items.length ? `<ul>${items.join('')}</ul>` : '');
}

function backsHtml(row) {
  const items = row.backs.map((back) => {
    const gradients = back.grads.map((edge) => `∂${escape(edge.name)} ${shapeOf(edge.array)}`).join(', ');
    const parts = [
      (picture.passes?.length > 1 ? `<b>${escape(passName(back))}</b> ` : '') + (gradients || 'no gradient asked for'),
      back.ops.length ? `<span class="soft">ran ${[...new Set(back.ops)].map(escape).join(', ')}</span>` : '',
      links(back.rows.map((id) => byId.get(id))),
    ];
    return `<li>${parts.filter(Boolean).join('<br>')}</li>`;
  });
  const stops = row.stops.map((text) => `<li class="mark stop">■ ${escape(text)}</li>`);
  return section('Backward', items.length || stops.length ? `<ul>${items.join('')}${stops.join('')}</ul>` : '');
}

function updatesHtml(row) {
  const items = updatesTogether(row).map((update) => {
    const state = update.state.map((text) => `<br>${escape(text)}`).join('');
    return `<li><b>${escape(update.optimizer)}</b> ${settings(update.settings)}${state}</li>`;
  });
  return section('Update', items.length ? `<ul>${items.join('')}</ul>` : '');
}

function opDetails(row) {
  const extras = Object.entries(row.extras).map(([name, array]) => `${escape(name)} ${typeOf(array)}`);
  const facts = [
    fact('output', row.out ? typeOf(row.out) : ''),
    fact('bytes', row.sum.out_bytes ? exactly(row.sum.out_bytes) : ''),
    fact('also', extras.join('<br>')),
    fact('settings', escape(row.attributes)),
    fact('numbers', row.numbers.map(escape).join('<br>')),
    timeFacts(row.sum),
    flopFacts(row.sum),
  ];
  const path = bandsAround(row).map((band) => escape(band.name)).join(' › ') || 'outside every module';
  return (
    `<h2><span class="soft">${shortName(row)}</span> ${breakable(row.op)}${timesOf(row)}</h2><p class="soft">${path}</p>${marksList(row)}` +
    `${sourceHtml(row)}<dl>${facts.join('')}</dl>${backsHtml(row)}${savedHtml(row)}${parametersHtml(row)}${updatesHtml(row)}` +
    section('Inputs', inputsHtml(row)) +
    section('Used by', links(users.get(row.id) ?? []))
  );
}

function inputsHtml(row) {
  const items = row.edges.map((edge) => `<li>${escape(edge.name)} ${typeOf(edge.array)} ${link(edge.row)}</li>`);
  return items.length ? `<ul>${items.slice(0, MOST_LISTED).join('')}</ul>` + more(items.length) : '';
}

function bandDetails(band) {
  const { sum } = band;
  const facts = [
    fact('ops', counted(sum.ops, 'op')),
    fact('output', band.out ? typeOf(band.out) : ''),
    fact('parameters', sum.parameters ? `${integer(sum.parameters)} in ${counted(sum.tensors, 'tensor')}` : ''),
    fact('saved', sum.saved_bytes ? exactly(sum.saved_bytes) : ''),
    fact('gradient', sum.gradient === null ? '' : norm(sum.gradient)),
    timeFacts(sum),
    flopFacts(sum),
  ];
  const marks = band.digest.marks.slice(0, MOST_LISTED).map((mark) => `<p class="mark ${mark.kind}">${GLYPHS[mark.kind] ?? '■'} ${escape(mark.text)}</p>${link(mark.op)}`);
  return (
    `<h2>${breakable(band.path || band.name)}${timesOf(band)}</h2><p class="soft">${escape(band.module || band.role)}</p>${marks.join('')}` +
    `<dl>${facts.join('')}</dl><button class="link" data-toggle="${band.index}">${openBands[band.index] ? 'Close' : 'Open'}</button>`
  );
}

/** An input or a loss. */
function endDetails(row) {
  const what = row.kind === 'input' ? { input: 'given to the step', constant: 'a constant' }[row.role] ?? row.role : row.backward_pass === null ? 'an output' : 'where a backward pass begins';
  return (
    `<h2>${breakable(row.name)}</h2><p class="soft">${escape(what)}</p><dl>${fact('value', row.array ? typeOf(row.array) : '')}${fact('begins with', escape(row.seed))}</dl>` +
    section('From', links(row.edges.map((edge) => edge.row))) +
    section('Used by', links(users.get(row.id) ?? []))
  );
}

/** The step as a whole: what to look at first. */
function overview() {
  const alarms = rows.filter((row) => alarmsOf(row).length);
  const ranked = rows.filter((row) => isOp(row)).map((row) => [row, amountOf(row)]).filter(([, amount]) => amount > 0);
  ranked.sort((a, b) => b[1] - a[1] || a[0].index - b[0].index);
  const whole = { time: totalMs, flops: totalFlops, memory: total.out_bytes + total.saved_bytes }[measure];
  const largest = ranked.slice(0, MOST_LISTED).map(([row, amount]) => {
    const share = amount / whole;
    return `<li>${link(row)}<span class="amount">${MEASURES[measure].text(amount)} · ${percent(share)}</span><span class="bar ${heatOf(share)}" style="--length:${round5(amount / ranked[0][1])}"></span></li>`;
  });
  const heading = { time: 'Most time', flops: 'Most FLOPs', memory: 'Most memory' }[measure];
  return (
    '<h2>The step</h2><p class="soft">Point at a card to see what is known about it. Click it, or press Enter, to keep it here and to light up ' +
    'its backward partner, what it saves, its inputs and outputs. Esc lets go.</p>' +
    section('Look here', alarms.slice(0, MOST_LISTED).map((row) => marksList(row) + link(row)).join('')) +
    section(heading, largest.length ? `<ol class="ranking">${largest.join('')}</ol>` : '')
  );
}

/** All that a row takes of what is measured, in all lanes. */
function amountOf(row) {
  return ['forward', 'saved', 'backward', 'update'].reduce((sum, lane) => sum + (MEASURES[measure].take(row.sum, lane)?.[0] ?? 0), 0);
}

/** Show what is known about a row; about the whole step for null. */
function showDetails(row) {
  byElementId('details').innerHTML = row === null ? overview() : isBand(row) ? bandDetails(row) : isOp(row) ? opDetails(row) : endDetails(row);
}
