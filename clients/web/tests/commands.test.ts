import { expect, test } from "vitest";
import { commandIn } from "../src/state/commands";

test("a text runs the longest command that it begins with", () => {
  const commands = [{ name: "memory" }, { name: "memory show" }];
  expect(commandIn("/memory show all", commands)).toEqual({ name: "memory show", arguments: "all" });
  expect(commandIn("/memory", commands)).toEqual({ name: "memory", arguments: "" });
  expect(commandIn("/memories", commands)).toBeUndefined();
  expect(commandIn("/usr/bin/env", commands)).toBeUndefined();
});
