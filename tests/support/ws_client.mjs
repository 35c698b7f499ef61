// Node's own WebSocket: prints each text message as a line, and leaves after the one that says "published".
const [url, token, subscribe] = process.argv.slice(2);
const socket = new WebSocket(url, ["inkwire.v1", `token.${token}`]);
socket.onopen = () => socket.send(subscribe);
socket.onmessage = ({ data }) => {
  process.stdout.write(`${data}\n`);
  if (data.includes('"name":"post.published"')) socket.close(1000);
};
socket.onerror = () => (process.exitCode = 1);
socket.onclose = ({ code, wasClean }) => {
  if (!wasClean || code !== 1000) process.exitCode = 1;
};
