// Lets Node import the parser's JSON schemas, which it does without the attribute that Node demands.
import { register } from 'node:module';

const hook = `
  import { readFile } from 'node:fs/promises';
  export async function load(url, context, next) {
    if (!url.endsWith('.json')) return next(url, context);
    return { format: 'module', source: 'export default ' + await readFile(new URL(url), 'utf8'), shortCircuit: true };
  }`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
