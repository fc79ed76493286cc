export const loadtestVersion = '0.1.0';
