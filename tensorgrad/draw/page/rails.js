// Where arrows run. Rungs stand one under the other, and every value flows down: to the next rung along the
// chain in the middle of the lane, or past other rungs along a rail in the gutter, like branches in a commit graph.
// Gradients take the same way back. Nothing here touches the page.

const MOST_RAILS = 8; // side by side; further ones are named on the cards instead

/**
 * Give each span the lowest rail that is free all along it, short spans first; -1 where none of `limit` is.
 * A span takes the lower half of its first strip and the upper half of its last, so two may meet in one strip.
 */
function packRails(spans, stripCount, limit) {
  const taken = new Uint16Array(2 * stripCount + 2); // one bit per rail, for every half of a strip
  const full = (1 << limit) - 1;
  const order = [...spans].sort((a, b) => a.last - a.first - (b.last - b.first) || a.first - b.first);
  for (const span of order) {
    let used = 0;
    for (let half = 2 * span.first + 1; half <= 2 * span.last && used !== full; half++) used |= taken[half];
    span.rail = -1;
    for (let rail = 0; rail < limit && span.rail < 0; rail++) if (!((used >> rail) & 1)) span.rail = rail;
    if (span.rail >= 0)
      for (let half = 2 * span.first + 1; half <= 2 * span.last; half++) taken[half] |= 1 << span.rail;
  }
  return order;
}

/** How many rails forward and backward need when everything is open. Gutters of that width never have to change. */
function railsWhenOpen() {
  const place = new Map(); // of a row among the rungs
  for (const row of rows) if (isRung(row)) place.set(row, place.size);
  const reach = { forward: new Map(), backward: new Map() }; // of a rung's output: the last rung that takes it
  for (const row of rows) {
    for (const edge of row.edges) {
      const from = place.get(edge.row);
      const to = place.get(row);
      if (from === undefined || to - from < 2 || !isInChain(row) || !isInChain(edge.row)) continue;
      reach.forward.set(from, Math.max(to, reach.forward.get(from) ?? 0));
      if (edge.grad) reach.backward.set(from, Math.max(to, reach.backward.get(from) ?? 0));
    }
  }
  const most = (spans) => packRails(spans, place.size, MOST_RAILS).reduce((n, span) => Math.max(n, span.rail + 1), 0);
  const spansOf = (lasts) => [...lasts].map(([first, last]) => ({ first, last }));
  return { forward: most(spansOf(reach.forward)), backward: most(spansOf(reach.backward)) };
}

/**
 * The edges between the strips shown: for each strip that values leave, the strips they go to.
 * A closed module stands for everything in it. `hot` marks what touches the selection.
 */
function edgesShown() {
  const leaving = new Map();
  for (const row of rows) {
    const to = stripOf[row.index];
    if (to < 0 || !isInChain(row)) continue;
    for (const edge of row.edges) {
      const from = stripOf[edge.row.index];
      if (from < 0 || from >= to || !isInChain(edge.row)) continue;
      if (!leaving.has(from)) leaving.set(from, new Map());
      const targets = leaving.get(from);
      if (!targets.has(to)) targets.set(to, { to, grad: false, hot: false, hotGrad: false });
      const target = targets.get(to);
      const hot = isSelected(row) !== isSelected(edge.row);
      target.grad ||= edge.grad;
      target.hot ||= hot;
      target.hotGrad ||= hot && edge.grad;
    }
  }
  return leaving;
}

/**
 * Split the edges into the chain (to the very next card) and rails, one for each strip that values leave.
 * Returns {chain: [{from, to, grad, hot, hotGrad}], rails: [{first, last, rail, targets}]}; rail -1 found no room.
 */
function route(strips) {
  const next = new Int32Array(strips.length).fill(-1); // the next strip that holds cards
  for (let k = strips.length - 1, below = -1; k >= 0; k--) {
    next[k] = below;
    if (strips[k].holdsCards) below = k;
  }
  const chain = [];
  const spans = [];
  for (const [from, byTarget] of edgesShown()) {
    const targets = [...byTarget.values()].sort((a, b) => a.to - b.to);
    const near = targets.filter((target) => target.to === next[from]);
    const far = targets.filter((target) => target.to !== next[from]);
    for (const target of near) chain.push({ from, ...target });
    if (far.length) spans.push({ first: from, last: far[far.length - 1].to, targets: far });
  }
  return { chain, rails: packRails(spans, strips.length, gutter.rails) };
}
