// Errors of the HTTP API that people can read.

/**
 * An answer that is an error. `message` says what happened and what to do, `errors` where in the request it is
 * (`{ pointer, detail }`); `signIn` asks for a token.
 */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || "Something went wrong. Try again.");
    this.status = status;
    this.code = problem.code || "unknown";
    this.title = problem.title || "Something went wrong";
    this.errors = problem.errors ?? [];
    this.signIn = status === 401;
  }
}

/** The server could not be reached at all. */
export class Unreachable extends Error {
  constructor() {
    super("The server cannot be reached. Nothing is lost: try again in a moment.");
    this.code = "unreachable";
    this.signIn = false;
  }
}
