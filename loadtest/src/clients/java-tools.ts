export async function checkJavaTools(_: object): Promise<void> {}
