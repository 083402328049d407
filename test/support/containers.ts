export interface ContainerOptions {
  readonly image: string;
  readonly port: number;
  readonly environment: Record<string, string>;
  readonly readyLine: RegExp;
  readonly readyTimes: number;
}

export interface RunningContainer {
  readonly host: string;
  readonly port: number;
  stop(): Promise<void>;
}

/** Null: no container runtime here, or the image cannot be had. The package is loaded only to ask: it costs half a second. */
export async function startContainer(options: ContainerOptions): Promise<RunningContainer | null> {
  try {
    const { GenericContainer, getContainerRuntimeClient, Wait } = await import('testcontainers');
    await getContainerRuntimeClient();
    const container = await new GenericContainer(options.image)
      .withEnvironment(options.environment)
      .withExposedPorts(options.port)
      .withWaitStrategy(Wait.forLogMessage(options.readyLine, options.readyTimes))
      .start();
    return {
      host: container.getHost(),
      port: container.getMappedPort(options.port),
      async stop() {
        await container.stop();
      },
    };
  } catch {
    return null;
  }
}
