// How a user and a text are shown, wherever they are.

const COLOURS = 6;

/** The class of the colour of a user, the same in every window. */
export function colour(userId) {
  let sum = 0;
  for (const letter of userId) sum = (31 * sum + letter.codePointAt(0)) % 65521;
  return `colour-${sum % COLOURS}`;
}

/** A new element; its text is never markup. */
export function made(tag, classes, text = "") {
  const node = document.createElement(tag);
  node.className = classes;
  node.textContent = text;
  return node;
}
