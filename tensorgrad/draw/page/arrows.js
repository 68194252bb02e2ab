// Draws the routes: every strip shows only its own piece of the chain and of the rails that pass, begin or end in it.

const RAIL_FIRST = 13;
const RAIL_STEP = 10; // px from the cards to the first rail, and between rails
const BEND = 6; // px, the radius where a rail turns
const LEVEL = 20; // px from the edge of a strip to the place where rails meet cards: arrivals above, departures below

const gutter = { rails: MOST_RAILS, left: 10, right: 10 }; // px; set once by `setGutters`

function setGutters() {
  const most = railsWhenOpen();
  const width = (n) => (n ? RAIL_FIRST + (n - 1) * RAIL_STEP + 9 : 10);
  gutter.rails = Math.max(1, most.forward, most.backward);
  gutter.left = width(most.forward);
  gutter.right = width(most.backward);
}

/** The two gutters: where `distance` px from the cards is, counted from the gutter's left edge. */
const SIDES = {
  left: (distance) => gutter.left - distance,
  right: (distance) => distance,
};

const hotClass = (hot) => (hot ? ' hot' : '');

/** A rail that goes straight through a strip; the style gives it its size. */
const passing = (x, hot) => `<rect class="rail${hotClass(hot)}" x="${x}"/>`;

/** A rail's end in a strip: a bend between rail and card, with a dot where the value leaves or a head where it arrives. */
function ending(side, rail, { below, head, hot }) {
  const at = SIDES[side];
  const distance = RAIL_FIRST + rail * RAIL_STEP;
  const x = at(distance);
  const y = below ? -LEVEL : LEVEL; // from the edge that the rail comes from
  const [beyond, corner] = below ? [1, y + BEND] : [-1, y - BEND];
  const path = `M${x},${beyond}V${corner}Q${x},${y} ${at(distance - BEND)},${y}H${at(head ? 7 : 3)}`;
  const bend = `<path class="rail${hotClass(hot)}" d="${path}"/>`;
  const end = head
    ? `<path class="end${hotClass(hot)}" d="M${at(9)},${y - 4.5}L${at(0.5)},${y}L${at(9)},${y + 4.5}Z"/>`
    : `<circle class="end${hotClass(hot)}" cx="${at(4)}" cy="${y}" r="3.5"/>`;
  return below ? `<svg y="100%" overflow="visible">${bend}${end}</svg>` : bend + end;
}

const CHAIN = ['leaves', 'arrives', 'passes', 'gives', 'takes', 'returns'].flatMap((piece) => [piece, `hot-${piece}`]);

/** What each strip has to draw: classes of the chain, shapes in both gutters, and the chips of routes that found no rail. */
function piecesOf({ chain, rails }) {
  const pieces = strips.map(() => ({ classes: new Set(), left: [], right: [], chips: [], backChips: [] }));
  for (const { from, to, grad, hot, hotGrad } of chain) {
    const mark = (k, forward, backward) => {
      pieces[k].classes.add(forward);
      if (hot) pieces[k].classes.add(`hot-${forward}`);
      if (grad) pieces[k].classes.add(backward);
      if (hotGrad) pieces[k].classes.add(`hot-${backward}`);
    };
    mark(from, 'leaves', 'takes');
    mark(to, 'arrives', 'gives');
    for (let k = from + 1; k < to; k++) mark(k, 'passes', 'returns');
  }
  for (const { first, rail, targets } of rails) {
    if (rail < 0) nameOnChips(pieces, first, targets);
    else {
      const back = targets.filter(({ grad }) => grad).map(({ to, hotGrad }) => ({ to, hot: hotGrad }));
      drawRail(pieces, 'left', first, rail, targets);
      drawRail(pieces, 'right', first, rail, back);
    }
  }
  return pieces;
}

/** On the left, values leave the first strip and arrive in the targets; on the right, gradients go the other way. */
function drawRail(pieces, side, first, rail, targets) {
  if (!targets.length) return;
  const last = targets[targets.length - 1].to;
  const lastHot = Math.max(-1, ...targets.map(({ to, hot }) => (hot ? to : -1)));
  const forward = side === 'left';
  const x = SIDES[side](RAIL_FIRST + rail * RAIL_STEP);
  pieces[first][side].push(ending(side, rail, { below: true, head: !forward, hot: lastHot >= 0 }));
  for (let k = first + 1; k < last; k++) pieces[k][side].push(passing(x, k < lastHot));
  for (const { to, hot } of targets) pieces[to][side].push(ending(side, rail, { below: false, head: forward, hot }));
}

/** Routes without a rail are named on the cards at both ends. */
function nameOnChips(pieces, first, targets) {
  const name = (k) => (strips[k].part === 'sum' ? strips[k].row.name : shortName(strips[k].row));
  for (const { to, grad } of targets) {
    pieces[first].chips.push(`→ ${name(to)}`);
    pieces[to].chips.push(`from ${name(first)}`);
    if (grad) pieces[to].backChips.push(`∂ to ${name(first)}`);
  }
}

function chipsHtml(chips) {
  const shown = chips.slice(0, 3).map((chip) => `<span>${escapeHtml(chip)}</span>`);
  return shown.join('') + (chips.length > 3 ? `<span>+${chips.length - 3} more</span>` : '');
}

/** Bring all strips up to date. Only those whose piece has changed are touched. */
function drawArrows() {
  piecesOf(route(strips)).forEach((piece, k) => {
    const { element } = strips[k];
    const classes = [...piece.classes].join(' ');
    const left = hotLast(piece.left);
    const right = hotLast(piece.right);
    const key = [classes, left, right, piece.chips, piece.backChips].join('|');
    if (element.drawn === key) return;
    element.drawn = key;
    element.classList.remove(...CHAIN);
    element.classList.add(...piece.classes);
    fill(element.querySelector('.gutter.left'), left);
    fill(element.querySelector('.gutter.right'), right);
    setChips(element, 'forward', piece.chips);
    setChips(element, 'backward', piece.backChips);
  });
}

/** Hot shapes stand last in a drawing, so that they lie on top. */
function hotLast(shapes) {
  const isHot = (shape) => shape.includes(' hot"');
  return [...shapes.filter((shape) => !isHot(shape)), ...shapes.filter(isHot)].join('');
}

function fill(box, shapes) {
  if ((box.shapes ?? '') === shapes) return;
  box.shapes = shapes;
  box.innerHTML = shapes && `<svg aria-hidden="true">${shapes}</svg>`;
}

function setChips(element, lane, chips) {
  const holder = element.querySelector(`.card[data-lane="${lane}"]`);
  if (!holder) return;
  let box = holder.querySelector('.chips');
  if (!chips.length) return box?.remove();
  if (!box) {
    box = document.createElement('span');
    box.className = 'chips';
    holder.append(box);
  }
  box.innerHTML = chipsHtml(chips);
}
