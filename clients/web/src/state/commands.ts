// Commands of a session in what a person writes.

/** The command that a text runs: the longest name that it begins with, and what comes after. */
export function commandIn(
  text: string,
  commands: readonly { readonly name: string }[],
): { name: string; arguments: string } | undefined {
  const rest = text.slice(1);
  const fits = commands.filter(({ name }) => rest.startsWith(name) && /^(\s|$)/.test(rest.slice(name.length)));
  const [longest] = fits.sort((a, b) => b.name.length - a.name.length);
  return longest && { name: longest.name, arguments: rest.slice(longest.name.length).trim() };
}
