// Words and figures: everything that becomes text on the page.

const NBSP = '\u00a0'; // between a figure and its unit, so that no line breaks there

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Text made safe to stand in HTML, in an element or in an attribute. */
const escapeHtml = (text) => String(text).replace(/[&<>"']/g, (character) => ESCAPES[character]);

/** Each of some items as HTML, one behind the other. */
const each = (items, toHtml, between = '') => Array.from(items, (item) => toHtml(item)).join(between);

/** A name made safe, which may break after an underscore or a dot. */
const breakable = (name) => escapeHtml(name).replace(/([_.])(?=\w)/g, '$1<wbr>');

/** Settings, such as `lr 0.001 eps 1e-08`, made safe; no line breaks inside a number, or between it and its name. */
const settings = (text) =>
  escapeHtml(text).replace(/(\S{1,12} )?[-\d.][-\w.+]{0,9}(?!\S)|\S*-\S*/g, '<span class="whole">$&</span>');

const thousands = new Intl.NumberFormat('en');
const integer = (n) => thousands.format(n);

/** "1 op", "1,204 ops". */
const counted = (n, noun) => `${integer(n)} ${noun}${n === 1 ? '' : 's'}`;

/** A quantity with three digits and a prefix: 5.02 MB, 20.1 MF. */
function scaled(x, unit) {
  const prefixes = ['', 'k', 'M', 'G', 'T', 'P'];
  let step = 0;
  while (x >= 999.5 && step < prefixes.length - 1) {
    x /= 1000;
    step++;
  }
  return `${step ? +x.toPrecision(3) : Math.round(x)}${NBSP}${prefixes[step]}${unit}`;
}

const bytes = (x) => scaled(x, 'B');
const flops = (x) => scaled(x, 'F'); // floating-point operations

/** Milliseconds as a reader wants them: µs where they are few, s where they are many. */
function duration(ms) {
  if (ms > 0 && ms < 0.0995) return `${+(ms * 1000).toPrecision(2)}${NBSP}µs`;
  if (ms >= 9999.5) return `${+(ms / 1000).toPrecision(3)}${NBSP}s`;
  return `${ms >= 99.95 ? ms.toFixed(0) : ms >= 9.995 ? ms.toFixed(1) : ms.toFixed(2)}${NBSP}ms`;
}

/** A share of the whole: 41 %, 0.4 %, <0.1 %. */
function percent(share) {
  const x = share * 100;
  if (x > 0 && x < 0.05) return `<0.1${NBSP}%`;
  return `${x > 0 && x < 0.95 ? x.toFixed(1) : x.toFixed(0)}${NBSP}%`;
}

/** A shape as Python writes it, without blanks: (64,8,28,28), (8,), (). */
const shapeOf = (array) => `(${array.shape.join(',')}${array.shape.length === 1 ? ',' : ''})`;

/** The value of an array that is one known number: " = 2.3026". */
const valueOf = (array) => (array.number === null ? '' : ` = ${figure(array.number)}`);

/** A shape, a dtype and, where it is one known number, that: "(64,10) f32", "() f32 = 2.3026". */
const typeOf = (array) => shapeOf(array) + (array.dtype && ` ${array.dtype}`) + valueOf(array);

/** A number in so many significant digits; infinities and NaN come as strings and stay what they are. */
function significant(x, digits) {
  if (typeof x !== 'number' || (Number.isInteger(x) && Math.abs(x) < 1e5)) return String(x);
  const plain = x === 0 || (Math.abs(x) >= 1e-4 && Math.abs(x) < 1e5);
  return plain ? String(+x.toPrecision(digits)) : x.toExponential(digits - 1).replace(/\.?0+e/, 'e');
}

const figure = (x) => significant(x, 5);

/** The norm of a gradient: |g| 0.412 */
const norm = (x) => `|g|${NBSP}${significant(x, 3)}`;
