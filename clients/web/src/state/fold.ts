// Long prompts are folded: what a person pasted stands in the way of what came of it.

/** Lines and characters of a prompt that are shown without unfolding. */
const LINES_MAX = 20;
const CHARACTERS_MAX = 1200;
/** So much more than that is not worth folding. */
const SPARE = 1.25;

/** The beginning of a long prompt; undefined where all of it is shown. */
export function foldedPrompt(text: string): string | undefined {
  const lines = text.split("\n");
  if (lines.length <= LINES_MAX * SPARE && text.length <= CHARACTERS_MAX * SPARE) return undefined;
  const start = lines.slice(0, LINES_MAX).join("\n");
  // No half of a character that takes two units.
  return start.slice(0, CHARACTERS_MAX).replace(/[\uD800-\uDBFF]$/, "").trimEnd();
}
