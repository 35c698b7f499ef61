"""What the tests share: throwaway servers, processes, waiting, clocks. Nothing in src imports it."""
