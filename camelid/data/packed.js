// What camelid/page.py packed into an element of the page, unpacked: JSON, gzipped, in base64.
async function unpack(element) {
  const coded = atob(element.textContent);
  const bytes = new Uint8Array(coded.length);
  for (let at = 0; at < coded.length; at++) bytes[at] = coded.charCodeAt(at);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}
