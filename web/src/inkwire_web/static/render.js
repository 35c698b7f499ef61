// Markdown as it is written, into elements. Text of a model becomes text nodes only; raw HTML stays visible as text,
// links lead to http, https and mailto only, and images are shown as links, so that reading loads nothing from others.

import * as smd from "./vendor/streaming-markdown/smd.js";

const PROTOCOLS = new Set(["http:", "https:", "mailto:"]);
const { Token, Attr } = smd;

const TAGS = new Map([
  [Token.Blockquote, "blockquote"],
  [Token.Paragraph, "p"],
  [Token.Line_Break, "br"],
  [Token.Rule, "hr"],
  [Token.Heading_1, "h1"],
  [Token.Heading_2, "h2"],
  [Token.Heading_3, "h3"],
  [Token.Heading_4, "h4"],
  [Token.Heading_5, "h5"],
  [Token.Heading_6, "h6"],
  [Token.Italic_Ast, "em"],
  [Token.Italic_Und, "em"],
  [Token.Strong_Ast, "strong"],
  [Token.Strong_Und, "strong"],
  [Token.Strike, "s"],
  [Token.Code_Inline, "code"],
  [Token.Raw_URL, "a"],
  [Token.Link, "a"],
  [Token.Image, "a"],
  [Token.List_Unordered, "ul"],
  [Token.List_Ordered, "ol"],
  [Token.List_Item, "li"],
  [Token.Table, "table"],
  [Token.Equation_Inline, "span"],
  [Token.Equation_Block, "span"],
]);
const OWN_DIRECTION = new Set(["p", "h1", "h2", "h3", "h4", "h5", "h6", "li", "blockquote", "td", "th"]);
const BRACKETED = new Set([Token.Link, Token.Image]);
const DOLLARS = new Map([
  [Token.Equation_Inline, "$"],
  [Token.Equation_Block, "$$"],
]);

/** The address if it is absolute and of an allowed kind, else null. */
export function safeUrl(value) {
  try {
    const url = new URL(value.trim());
    return PROTOCOLS.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

// streaming-markdown's renderer interface over our own elements.
function renderer(root) {
  const stack = [{ node: root, type: Token.Document }];
  const top = () => stack.at(-1);
  return {
    data: null,
    top,
    add_token(_data, type) {
      if (type === Token.Document) return;
      const node = open(top().node, type);
      stack.push({ node, type });
      if (DOLLARS.has(type)) node.append(DOLLARS.get(type));
    },
    end_token() {
      if (stack.length === 1) return;
      const { node, type, addressed } = stack.pop();
      if (DOLLARS.has(type)) node.append(DOLLARS.get(type));
      if (BRACKETED.has(type) && !addressed) {
        // Brackets that turned out to be only that, such as a source's [@3]: nothing that looks like a link.
        node.replaceWith(type === Token.Image ? "![" : "[", ...node.childNodes, "]");
      }
    },
    add_text(_data, text) {
      top().node.append(text);
    },
    set_attr(_data, name, value) {
      setAttribute(top(), name, value);
    },
  };
}

function open(parent, type) {
  const make = (tag, under = parent) => under.appendChild(document.createElement(tag));
  if (type === Token.Code_Block || type === Token.Code_Fence) {
    const pre = make("pre");
    pre.tabIndex = 0; // it scrolls sideways, so the keyboard must reach it
    return make("code", pre);
  }
  if (type === Token.Table_Row) {
    const part = parent.tHead === null ? make("thead") : (parent.tBodies[0] ?? make("tbody"));
    return make("tr", part);
  }
  if (type === Token.Table_Cell) {
    const cell = make(parent.parentElement.tagName === "THEAD" ? "th" : "td");
    cell.dir = "auto";
    return cell;
  }
  if (type === Token.Checkbox) {
    const box = make("input");
    box.type = "checkbox";
    box.disabled = true;
    return box;
  }
  const node = make(TAGS.get(type) ?? "span");
  if (OWN_DIRECTION.has(node.localName)) node.dir = "auto";
  if (type === Token.Image) node.className = "image-link";
  if (DOLLARS.has(type)) node.className = "math";
  return node;
}

function setAttribute(entry, name, value) {
  const { node } = entry;
  if (name === Attr.Href || name === Attr.Src) {
    entry.addressed = true;
    const url = safeUrl(value);
    if (url === null) {
      node.classList.add("no-link");
      return;
    }
    node.href = url;
    node.rel = "noopener noreferrer nofollow";
    node.target = "_blank";
    if (name === Attr.Src) node.title = `Image at ${new URL(url).host || url}`;
  } else if (name === Attr.Start && /^\d{1,9}$/.test(value)) {
    node.start = Number(value);
  } else if (name === Attr.Checked) {
    node.checked = true;
  } else if (name === Attr.Lang) {
    node.parentElement.dataset.language = value.slice(0, 24);
  }
}

/** One section's text on the page. It grows with the text; text that was superseded is drawn anew. */
export class SectionText {
  #root;
  #caret;
  #shown = "";
  #plain = null;
  #renderer;
  #parser;
  #ended = false;

  /** `caret` is one element that all sections of a page share; it stands where the text grows. */
  constructor(root, caret) {
    this.#root = root;
    this.#caret = caret;
    this.#reset();
  }

  /** Show `text`; `writing` says that more will come. */
  update(text, writing) {
    if (text !== this.#shown) this.#show(text);
    if (writing) this.#renderer.top().node.append(this.#caret);
    else if (!this.#ended) this.#end();
  }

  #show(text) {
    if (this.#ended || !text.startsWith(this.#shown)) this.#reset();
    const added = text.slice(this.#shown.length);
    this.#shown = text;
    this.#caret.remove();
    this.#attempt(() => smd.parser_write(this.#parser, added));
  }

  #end() {
    this.#ended = true;
    if (this.#root.contains(this.#caret)) this.#caret.remove();
    this.#attempt(() => smd.parser_end(this.#parser));
  }

  // The renderer is decoration, the text is not: if it fails, the text is shown as it is.
  #attempt(run) {
    if (!this.#plain) {
      try {
        run();
        return;
      } catch (error) {
        console.error("Markdown could not be rendered", error);
        this.#plain = this.#root.appendChild(document.createElement("pre"));
        this.#plain.className = "plain";
        this.#root.replaceChildren(this.#plain);
      }
    }
    this.#plain.textContent = this.#shown;
  }

  #reset() {
    if (this.#root.contains(this.#caret)) this.#caret.remove();
    this.#root.replaceChildren();
    this.#shown = "";
    this.#ended = false;
    this.#plain = null;
    this.#renderer = renderer(this.#root);
    this.#parser = smd.parser(this.#renderer);
  }
}
