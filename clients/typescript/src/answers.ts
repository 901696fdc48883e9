/** Answers to what agents ask, for `onQuestion` and `answerQuestion`. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type AnswerSchema,
  OptionEffect,
  type Question,
  QuestionKind,
  type QuestionOption,
} from "./gen/quarterdeck/v1/question_pb.js";

/** An answer as calls take it. */
export type AnswerInput = MessageInitShape<typeof AnswerSchema>;

/**
 * Lets the tool of a permission run this once; of a link it says that its visit is done. Throws a TypeError where the
 * question offers no such option.
 */
export function allow(question: Question): AnswerInput {
  const link = question.kind === QuestionKind.LINK;
  const allows = ({ effect, optionId }: QuestionOption) =>
    effect === OptionEffect.ALLOW_ONCE || (link && optionId === "done");
  const chosen = choose(question, allows);
  if (!chosen) {
    throw new TypeError(`the question ${question.questionId} offers nothing that allows once`);
  }
  return chosen;
}

/** Denies the tool of a permission this once. Declines where the question offers no such option. */
export function deny(question: Question): AnswerInput {
  return choose(question, ({ effect }) => effect === OptionEffect.DENY_ONCE) ?? decline();
}

/** Nobody wants to answer: the agent goes on without. */
export function decline(): AnswerInput {
  return { declined: true };
}

/**
 * The values of a form, or the result of a tool that the caller runs: anything that JSON can hold, at most 256 KiB. With
 * `isError` the tool failed, and the value says how.
 */
export function content(value: unknown, { isError = false }: { isError?: boolean } = {}): AnswerInput {
  const contentJson = JSON.stringify(value) as string | undefined;
  if (contentJson === undefined) {
    throw new TypeError(`${typeof value} has no JSON`);
  }
  return { contentJson, isError };
}

function choose(question: Question, fits: (option: QuestionOption) => boolean): AnswerInput | undefined {
  const option = question.options.find(fits);
  return option && { optionId: option.optionId };
}
