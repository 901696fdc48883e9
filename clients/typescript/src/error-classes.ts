/** All classes of errors, for `errors` of the package. */
export * from "./codes.js";
export * from "./reasons.js";
