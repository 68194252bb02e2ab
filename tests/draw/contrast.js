// All texts that are shown with less than 4.5 : 1 against what they stand on, as [text, ratio, colour, ground].
() => {
  const pen = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const parse = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((x) => ((x /= 255) <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  /** Opaque grounds that an element, or a shape drawn behind it, puts under a text. */
  const groundOf = (element) => {
    const grounds = [getComputedStyle(element).backgroundColor];
    if (element.matches('.card.input, .strip.selected, .band')) grounds.unshift(getComputedStyle(element, '::before').backgroundColor);
    if (element.matches('.card.octagon')) grounds.unshift(getComputedStyle(element.querySelector('polygon')).fill);
    return grounds.map(parse).find((colour) => colour[3] > 250);
  };
  const below = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const ground = groundOf(e);
      if (ground) return ground;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  const check = (text, colour, ground) => {
    const value = ratio(colour, ground);
    if (value < 4.5) found.push([text.trim().slice(0, 40), +value.toFixed(2), colour.join(), ground.join()]);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, text = texts.currentNode.textContent;
    if (!text.trim() || element.closest('script, noscript, #outline') || !element.checkVisibility({ contentVisibilityAuto: false })) continue;
    check(text, parse(getComputedStyle(element).color), below(element));
  }
  for (const element of document.querySelectorAll('[data-tag]')) {
    const style = getComputedStyle(element, '::after');
    check(element.dataset.tag, parse(style.color), parse(style.backgroundColor));
  }
  const search = document.getElementById('search'), hint = getComputedStyle(search, '::placeholder');
  check('placeholder', parse(hint.color), below(search));
  return found;
}
