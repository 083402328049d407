import { z } from 'zod';

/** The same schema with its top-level fields in snake_case, as JSON has them; nothing else is accepted. */
export function inSnakeCase<Schema extends z.ZodType>(schema: Schema, fields: readonly string[]) {
  return z
    .strictObject(Object.fromEntries(fields.map((field) => [field, z.unknown().optional()])))
    .transform((given) => Object.fromEntries(Object.entries(given).map(([field, value]) => [camelCase(field), value])))
    .pipe(schema as unknown as z.ZodType<z.output<Schema>, Record<string, unknown>>);
}

function camelCase(field: string): string {
  return field.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The name that the sender of `inSnakeCase` knows a field by. */
export function snakeCase(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
