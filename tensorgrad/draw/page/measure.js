// What the bars under the cards measure: time, memory or FLOPs, as shares of the whole step.

const PHASES = ['forward', 'backward', 'update']; // and the lanes that show them
const MEASURED_LANES = ['forward', 'saved', 'backward', 'update'];

const allOf = (byPhase) => (byPhase ? PHASES.reduce((sum, phase) => sum + byPhase[phase], 0) : 0);

const totalMs = allOf(total.ms);
const totalFlops = allOf(total.flops);

/**
 * Each measure: what it is called, how amounts are written, the whole of a step, what the shares in the legend are
 * shares of, and `take`: for the sums of a row and a lane, the amount and that of the whole step in such lanes.
 */
const MEASURES = {
  time: {
    name: 'time',
    text: duration,
    whole: totalMs,
    of: 'of the time',
    take: (sum, lane) => (sum.ms && PHASES.includes(lane) ? [sum.ms[lane], totalMs] : [0, 0]),
  },
  memory: {
    name: 'memory',
    text: bytes,
    whole: total.out_bytes + total.saved_bytes,
    of: 'of all outputs or saved bytes',
    take: (sum, lane) => {
      if (lane === 'forward') return [sum.out_bytes, total.out_bytes];
      return lane === 'saved' ? [sum.saved_bytes, total.saved_bytes] : [0, 0];
    },
  },
  flops: {
    name: 'FLOPs',
    text: flops,
    whole: totalFlops,
    of: 'of the FLOPs',
    take: (sum, lane) => (PHASES.includes(lane) ? [sum.flops[lane], totalFlops] : [0, 0]),
  },
};

let measure = ['time', 'flops', 'memory'].find((name) => MEASURES[name].whole) ?? 'memory';

/** Milliseconds with their share of the step. */
const timeText = (ms) => (totalMs ? `${duration(ms)} · ${percent(ms / totalMs)}` : duration(ms));

/** All that a row takes of what is measured, in all lanes. */
const amountOf = (row) => MEASURED_LANES.reduce((sum, lane) => sum + MEASURES[measure].take(row.sum, lane)[0], 0);

/** The share of a row's card in the whole, 0 where there is nothing to measure. */
function shareOf(row, lane) {
  const [amount, whole] = MEASURES[measure].take(row.sum, lane);
  return amount ? amount / whole : 0;
}

/** The line of figures on a card: what is measured, its share, and the FLOPs beside a forward time. */
function measureText(row, lane) {
  const { take, text } = MEASURES[measure];
  const [amount, whole] = take(row.sum, lane);
  if (!amount) return '';
  const parts = lane === 'saved' ? [] : [text(amount)]; // a saved card gives its bytes anyway
  parts.push(percent(amount / whole));
  if (measure === 'time' && lane === 'forward' && row.sum.flops.forward) parts.push(flops(row.sum.flops.forward));
  return parts.join(' · ');
}

/** The bars: as long as the share, compared with the largest one shown, and coloured by it. */
const heat = { largest: 1, warm: 0.05, hot: 0.2 };

/** Scale the bars to the largest share among these rows. Where every share is small, so are the limits of the colours. */
function setScale(shown) {
  let largest = 0;
  for (const row of shown) {
    for (const lane of MEASURED_LANES) largest = Math.max(largest, shareOf(row, lane));
  }
  heat.largest = largest || 1;
  [heat.warm, heat.hot] = largest < 0.2 ? [largest / 4, largest * 0.7] : [0.05, 0.2];
}

function heatOf(share) {
  if (!share) return 'none';
  if (share >= heat.hot) return 'hot';
  return share >= heat.warm ? 'warm' : 'cool';
}

const round5 = (x) => +x.toFixed(5);

/** The figures and the bar of one card; `refreshMeasure` brings them up to date. Cards in other lanes have none. */
function measureHtml(row, lane) {
  if (!MEASURED_LANES.includes(lane)) return '';
  const share = shareOf(row, lane);
  const bar = `<span class="bar ${heatOf(share)}" style="--share:${round5(share)}"></span>`;
  return `<span class="line figures">${measureText(row, lane)}</span>${bar}`;
}

/** Write the figures and the bar of a card anew, after the measure or the scale has changed. */
function refreshMeasure(card) {
  const bar = card.querySelector('.bar');
  if (!bar) return;
  const { row, lane } = card.dataset;
  const figures = card.querySelector('.figures');
  const text = measureText(rows[row], lane);
  const share = shareOf(rows[row], lane);
  if (figures.textContent !== text) figures.textContent = text;
  bar.className = `bar ${heatOf(share)}`;
  bar.style.setProperty('--share', round5(share));
}
