/** Errors that teach: the catalogue, the error class and its explanations. Every package may import this one. */
export { type CatalogueEntry, catalogue, type ErrorCode } from './catalogue.ts';
export { type Explanation, exitStatusMeanings, explain, explainAll } from './explain.ts';
export {
  type ErrorParameter,
  type ErrorParameters,
  fillIn,
  formatEntry,
  isErrorCode,
  type ParameterNames,
  PlinthError,
  type SerializedPlinthError,
} from './plinth-error.ts';
