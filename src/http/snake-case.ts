import { z } from 'zod';

const unconverted = new WeakMap<z.ZodType, z.ZodType>();

/** The same schema with its top-level fields in snake_case, as JSON has them; nothing else is accepted. */
export function inSnakeCase<Schema extends z.ZodType>(schema: Schema, fields: readonly string[]) {
  const converted = z
    .strictObject(Object.fromEntries(fields.map((field) => [field, z.unknown().optional()])))
    .transform((given) => Object.fromEntries(Object.entries(given).map(([field, value]) => [camelCase(field), value])))
    .pipe(schema as unknown as z.ZodType<z.output<Schema>, Record<string, unknown>>);
  unconverted.set(converted, schema);
  return converted;
}

/** The schema that `inSnakeCase` was given; it knows the fields' types. */
export function unconvertedOf(schema: z.ZodType): z.ZodType | undefined {
  return unconverted.get(schema);
}

function camelCase(field: string): string {
  return field.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The name that the sender of `inSnakeCase` knows a field by. */
export function snakeCase(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
