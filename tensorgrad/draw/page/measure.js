// What the bars under the cards measure: time, memory or FLOPs, as shares of the whole step.

const totalMs = total.ms ? total.ms.forward + total.ms.backward + total.ms.update : 0;
const totalFlops = total.flops.forward + total.flops.backward + total.flops.update;

const PHASE_OF_LANE = { forward: 'forward', backward: 'backward', update: 'update' };

/** Each measure: its name, what the shares are shares of, and {amount, whole} of a row in a lane (null: nothing to show). */
const MEASURES = {
  time: {
    of: 'of the time',
    possible: totalMs > 0,
    text: duration,
    take: (sum, lane) => (sum.ms && lane in PHASE_OF_LANE ? [sum.ms[lane], totalMs] : null),
  },
  memory: {
    of: 'of all outputs or saved bytes',
    possible: total.out_bytes + total.saved_bytes > 0,
    text: bytes,
    take: (sum, lane) =>
      lane === 'forward' ? [sum.out_bytes, total.out_bytes] : lane === 'saved' ? [sum.saved_bytes, total.saved_bytes] : null,
  },
  flops: {
    of: 'of the FLOPs',
    possible: totalFlops > 0,
    text: flops,
    take: (sum, lane) => (lane in PHASE_OF_LANE && sum.flops[lane] ? [sum.flops[lane], totalFlops] : null),
  },
};

let measure = ['time', 'flops', 'memory'].find((name) => MEASURES[name].possible) ?? 'memory';

/** The share of a row's card in the whole, 0 where there is nothing to measure. */
function shareOf(row, lane) {
  const found = MEASURES[measure].take(row.sum, lane);
  return found && found[1] > 0 ? found[0] / found[1] : 0;
}

/** The line of figures on a card: what is measured, its share, and the FLOPs beside a forward time. */
function measureText(row, lane) {
  const { take, text } = MEASURES[measure];
  const [amount, whole] = take(row.sum, lane) ?? [0, 0];
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
  for (const row of shown) for (const lane of ['forward', 'saved', 'backward', 'update']) largest = Math.max(largest, shareOf(row, lane));
  heat.largest = largest || 1;
  [heat.warm, heat.hot] = largest < 0.2 ? [largest / 4, largest * 0.7] : [0.05, 0.2];
}

const heatOf = (share) => (!share ? 'none' : share >= heat.hot ? 'hot' : share >= heat.warm ? 'warm' : 'cool');

/** The figures and the bar of one card; `refreshMeasure` brings them up to date. */
function measureHtml(row, lane) {
  const share = shareOf(row, lane);
  return `<span class="line figures">${measureText(row, lane)}</span><span class="bar ${heatOf(share)}" style="--share:${round5(share)}"></span>`;
}

const round5 = (x) => +x.toFixed(5);

/** Write the figures and bars of a card anew, after the measure or the scale has changed. */
function refreshMeasure(card) {
  const row = rows[card.dataset.row], { lane } = card.dataset;
  const figures = card.querySelector('.figures'), bar = card.querySelector('.bar');
  if (!bar) return;
  const share = shareOf(row, lane), text = measureText(row, lane);
  if (figures.textContent !== text) figures.textContent = text;
  bar.className = `bar ${heatOf(share)}`;
  bar.style.setProperty('--share', round5(share));
}
