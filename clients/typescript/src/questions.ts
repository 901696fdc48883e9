/** What agents ask while a turn is followed, answered by a handler. */
import type { AnswerInput } from "./answers.js";
import type { GatewayEvent } from "./gen/quarterdeck/v1/event_pb.js";
import { GatewayService } from "./gen/quarterdeck/v1/gateway_pb.js";
import type { Question } from "./gen/quarterdeck/v1/question_pb.js";
import type { CallOptions, Link } from "./link.js";
import { AlreadyAnswered } from "./reasons.js";
import { callUnary } from "./unary.js";

/** Gives the answer to a question, made with `answers`; undefined leaves it to somebody else. */
export type QuestionHandler = (question: Question) => AnswerInput | undefined | Promise<AnswerInput | undefined>;

/** Calls a handler once with each question that waits for somebody, and sends what it gives. */
export class Answering {
  readonly #link: Link;
  readonly #handler: QuestionHandler;
  readonly #options: CallOptions;
  /** Questions that are pending; the server bounds how many a turn has. */
  readonly #asked = new Set<string>();

  constructor(link: Link, handler: QuestionHandler, { signal }: CallOptions) {
    this.#link = link;
    this.#handler = handler;
    this.#options = { signal };
  }

  /** Looks at an event, and answers where it asks. */
  async take({ kind }: GatewayEvent): Promise<void> {
    if (kind.case === "questionResolved") {
      this.#asked.delete(kind.value.questionId);
    }
    if (kind.case !== "questionAsked" && kind.case !== "questionPending") {
      return;
    }
    const { question } = kind.value;
    // With a rule it is decided in the same moment.
    if (!question || question.policyRule !== "" || this.#asked.has(question.questionId)) {
      return;
    }
    this.#asked.add(question.questionId);
    await this.#answer(question);
  }

  async #answer(seen: Question): Promise<void> {
    const { sessionKey, questionId, actionDigest } = seen;
    const whole = seen.argsFullSize > 0n ? await this.#read(sessionKey, questionId) : seen;
    const answer = await this.#handler(whole ?? seen);
    if (!answer) {
      return;
    }
    try {
      const request = { sessionKey, questionId, actionDigest, answer };
      await callUnary(this.#link, GatewayService.method.answerQuestion, request, this.#options);
    } catch (error) {
      // Somebody else was faster.
      if (!(error instanceof AlreadyAnswered)) {
        throw error;
      }
    }
  }

  async #read(sessionKey: string, questionId: string): Promise<Question | undefined> {
    const request = { sessionKey, questionId };
    return (await callUnary(this.#link, GatewayService.method.getQuestion, request, this.#options)).question;
  }
}
